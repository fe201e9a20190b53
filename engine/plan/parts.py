"""The parts of one grain: each fact aggregated alone, over joins which do not multiply it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from core.errors import NoJoinPath, Unanswerable
from engine.model.catalog import Catalog, Dimension, Measure
from engine.plan.joins import join_tree, required_tree
from engine.plan.nodes import Edge, Leaf, Part, Scope, Series, SubQuery, Tree
from engine.plan.switches import has_switch, repeats, values_of
from engine.query.bound import BoundQuery, BoundTree, Path, full_paths, tree_names, tree_paths

SAFE = ("count_distinct", "count_distinct_approx", "min", "max")
"""Aggregates that a row counted twice does not change."""
Computed = Callable[[BoundQuery, str], SubQuery]
"""The sub-query of a dimension (by its full name) in a question."""


class Parts:
    """Builds the parts of one grain; `computed` gives the sub-query of a dimension that has one."""

    def __init__(self, bound: BoundQuery, computed: Computed) -> None:
        self.bound = bound
        self.computed = computed
        self.catalog = bound.catalog
        # A sub-query begins with the cube of its keys, so that a row without partners has a count of 0.
        self.anchor = next((each.path[-1] for each in bound.dimensions if each.raw), None)
        self.dimension_paths = [path for each in bound.dimensions for path in self._paths(each.path, each.dimension)]

    def _paths(self, path: Path, member: Dimension | Measure) -> list[Path]:
        return full_paths(self.catalog, path, member.full_name)

    def alone(self, leaf: Leaf) -> bool:
        """Whether each row that the leaf counts lies in one group only."""
        if has_switch(self.bound):
            return False
        paths = [*self._leaf_paths([leaf]), *self.dimension_paths, *self._where_paths(leaf.scope.where)]
        tree = join_tree(self.catalog, paths, leaf.cube)
        return tree is not None and not tree.multiplies(leaf.cube)

    def of(self, leaves: list[Leaf], *, several: bool) -> tuple[Part | Series, ...]:
        """The parts of one grain; `several`: the question has facts of other grains, too."""
        if self.bound.ungrouped or not leaves:
            return (self._single(leaves),)
        groups = _by_scope_and_fact(leaves)
        alone = not several and len({fact for _, fact in groups}) == 1
        parts: list[Part] = []
        for (_, fact), own in groups.items():
            where, idle = self._applicable(own, alone=alone)
            made = self._fact(fact, own, where)
            parts.extend((replace(part, ignored=idle) for part in made) if idle else made)
        merged = _merged(parts)
        return (*merged, *self._series(merged))

    def _series(self, parts: Sequence[Part]) -> list[Series]:
        """Where windows roll and nothing else groups, every bucket is part of the answer."""
        time = self.bound.time
        rolling = [part for part in parts if part.scope.window is not None]
        if not rolling or time is None or not self.bound.dimensions:
            return []
        if not all(each.dimension is time.dimension and each.granularity for each in self.bound.dimensions):
            return []
        return [Series(part) for part in (rolling if time.range is None else rolling[:1])]

    def _single(self, leaves: list[Leaf]) -> Part:
        where = (*self.bound.where, *self.bound.required)
        paths = [*self._leaf_paths(leaves), *self.dimension_paths, *self._where_paths(where)]
        try:
            tree = required_tree(self.catalog, paths)
        except NoJoinPath as error:
            error.ossie = "E_FAN_OUT_IN_SCALAR_QUERY" if self.bound.ungrouped else error.ossie
            raise
        return Part(self._finished(tree, leaves, where), tuple(leaves), where, Scope(self.bound.where))

    def _applicable(self, leaves: list[Leaf], *, alone: bool) -> tuple[tuple[BoundTree, ...], tuple[BoundTree, ...]]:
        """Which conditions concern the fact. With several facts, one may filter by what only another one knows."""
        where = leaves[0].scope.where
        every = (*where, *self.bound.required)
        base = [*self._leaf_paths(leaves), *self.dimension_paths]
        if alone or join_tree(self.catalog, [*base, *self._where_paths(every)]):
            return every, ()
        used: list[BoundTree] = list(self.bound.required)
        idle: list[BoundTree] = []
        for tree in where:
            reachable = join_tree(self.catalog, [*base, *self._where_paths([*used, tree])])
            (used if reachable else idle).append(tree)
        return tuple(used), tuple(idle)

    def _fact(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...]) -> list[Part]:
        around = [*self.dimension_paths, *self._where_paths(where)]
        ways = self._ways(fact, leaves, around)
        if len(ways) > 1:
            return [part for own in ways for part in self._fact(fact, own, where)]
        scope = leaves[0].scope
        around += self._restricting(fact, [*self._leaf_paths(leaves), *around])
        tree = required_tree(self.catalog, [*self._leaf_paths(leaves), *around], self.anchor or fact)
        repeated = repeats(self.bound, where)
        if not tree.multiplies(fact) and not repeated:
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, scope, fact)]
        if all(_safe(leaf) for leaf in leaves) and not repeated:
            need_key(self.catalog, fact)
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, scope, fact)]
        return self._keyed(fact, leaves, where, around)

    def _restricting(self, fact: str, paths: list[Path]) -> list[Path]:
        """The ways of the question around this one on which a protected cube drops rows of the fact."""
        if not self.bound.through:
            return []
        tree = join_tree(self.catalog, [*paths, *self.bound.through], self.anchor or fact)
        if tree is None or tree.multiplies(fact) or not any(edge.restrict for edge in _restricted(tree, self.bound)):
            return []
        return list(self.bound.through)

    def _ways(self, fact: str, leaves: list[Leaf], around: list[Path]) -> list[list[Leaf]]:
        """The leaves by the joins that they would have without the others, where that is not all the same: a measure's
        rows do not depend on what is asked beside it."""
        found: dict[tuple[Path, ...], list[Leaf]] = {}
        for leaf in leaves:
            found.setdefault(tuple(self._leaf_paths([leaf])), []).append(leaf)
        if len(found) == 1:
            return [leaves]
        start = self.anchor or fact
        whole = join_tree(self.catalog, [*self._leaf_paths(leaves), *around], start)
        for paths in found:
            own = join_tree(self.catalog, [*paths, *around], start)
            if whole is None or own is None or own.root != whole.root or not set(own.edges) <= set(whole.edges):
                return list(found.values())
        return [leaves]

    def _keyed(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...], around: list[Path]) -> list[Part]:
        """The fact's rows once for each group; safe aggregates whose own SQL multiplies go beside them."""
        need_key(self.catalog, fact)
        beside = [leaf for leaf in leaves if _safe(leaf) and self._multiplied_alone([leaf])]
        once = [leaf for leaf in leaves if leaf not in beside]
        if self._multiplied_alone(once):
            names = ", ".join(f"'{leaf.measure.full_name}'" for leaf in once)
            raise Unanswerable(
                f"{names} reference cubes that lead to row multiplication.",
                hint="Rewrite it with a sub_query dimension.",
            )
        parts = [self._fact(fact, beside, where)[0]] if beside else []
        raw = [leaf for leaf in once if leaf.raw]
        plain = [leaf for leaf in once if not leaf.raw]
        if plain:
            tree = required_tree(self.catalog, [*self._leaf_paths(plain), *around], fact)
            finished = self._finished(tree, plain, where)
            parts.append(Part(finished, tuple(plain), where, plain[0].scope, fact, fact_key=True))
        if raw:
            parts.append(self._rejoined(fact, raw, where, around))
        return parts

    def _rejoined(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...], around: list[Path]) -> Part:
        tree = required_tree(self.catalog, [leaves[0].path, *around], fact)
        fact_tree = required_tree(self.catalog, [(fact,), *self._reference_paths(leaves)], fact)
        if fact_tree.root != fact:
            raise Unanswerable(f"'{leaves[0].measure.full_name}' reads cubes which '{fact}' has no join to.")
        own = self._finished(fact_tree, leaves, ())
        keys = self._finished(tree, [], where)
        return Part(keys, tuple(leaves), where, leaves[0].scope, fact, fact_key=True, fact_tree=own)

    def _multiplied_alone(self, leaves: Iterable[Leaf]) -> bool:
        listed = list(leaves)
        if not listed:
            return False
        fact = listed[0].cube
        tree = join_tree(self.catalog, [(fact,), *self._reference_paths(listed)], fact)
        return tree is None or tree.multiplies(fact)

    def _leaf_paths(self, leaves: Iterable[Leaf]) -> list[Path]:
        listed = list(leaves)
        return [*(leaf.path for leaf in listed), *self._reference_paths(listed)]

    def _reference_paths(self, given: Iterable[Leaf]) -> list[Path]:
        leaves = list(given)
        found = [path for leaf in leaves for path in self._paths(leaf.path, leaf.measure)[1:]]
        found += [path for leaf in leaves for path in self._snapshot_paths(leaf)]
        time = self.bound.time
        if time is not None and any(leaf.scope.window for leaf in leaves):
            found += self._paths(time.path, time.dimension)
        return found

    def _snapshot_paths(self, leaf: Leaf) -> list[Path]:
        """The cubes of a semi-additive measure's time and entities."""
        snapshot = leaf.scope.snapshot
        names = (snapshot.dimension, *snapshot.groups) if snapshot is not None else ()
        owners = [(name, name.partition(".")[0]) for name in names]
        found = (full_paths(self.catalog, leaf.path if cube == leaf.cube else (cube,), name) for name, cube in owners)
        return [path for paths in found for path in paths if path != leaf.path]

    def _where_paths(self, where: Iterable[BoundTree]) -> list[Path]:
        return [path for tree in where for path in tree_paths(self.catalog, tree)]

    def _finished(self, tree: Tree, leaves: Iterable[Leaf], where: Iterable[BoundTree]) -> Tree:
        """The tree with the caller's rights and its sub-queries."""
        names = [each.dimension.full_name for each in self.bound.dimensions]
        names += [leaf.measure.full_name for leaf in leaves]
        where = tuple(where)
        names += [name for each in where for name in tree_names(each)]
        names += [f"{edge.parent}>{edge.child}" for edge in tree.edges]
        wanted = dict.fromkeys(sub for name in names for sub in self.catalog.expanded[name].sub_queries)
        subs = tuple(self._sub_query(name, where) for name in wanted if name.partition(".")[0] in tree.cubes)
        for cube in tree.cubes:
            self._usable(cube)
        for edge in tree.edges:
            self._joinable(edge, tree)
        return Tree(tree.root, _restricted(tree, self.bound), subs)

    def _sub_query(self, name: str, where: Iterable[BoundTree]) -> SubQuery:
        member = self.catalog.primitive(name)
        if isinstance(member, Dimension) and member.type == "switch":
            return values_of(self.bound, member, where)
        return self.computed(self.bound, name)

    def _joinable(self, edge: Edge, tree: Tree) -> None:
        """The condition of a join may also read cubes that come before it; they must be there."""
        spelled = self.catalog.expanded[f"{edge.parent}>{edge.child}"]
        absent = next((way[-1] for way in spelled.paths if way[-1] not in tree.cubes), None)
        problem = spelled.unsupported or (f"the cube '{absent}', which the question does not read" if absent else None)
        if problem:
            raise Unanswerable(f"The join of '{edge.parent}' to '{edge.child}' needs {problem}.")

    def _usable(self, cube: str) -> None:
        problem = self.catalog.expanded[f"{cube}#table"].unsupported
        if problem:
            raise Unanswerable(f"The cube '{cube}' needs {problem}; that cannot be answered yet.")


def need_key(catalog: Catalog, fact: str) -> None:
    """Unanswerable where the rows of a cube cannot be told apart."""
    if not catalog.cubes[fact].primary_key:
        raise Unanswerable(
            f"primary key for '{fact}' is required when join is defined in order to make aggregates work properly",
            hint=f"Mark a dimension of '{fact}' with primary_key: true.",
        )


def _restricted(tree: Tree, bound: BoundQuery) -> tuple[Edge, ...]:
    """Edges to protected cubes drop rows without a partner where nothing before them is protected.

    A root with policies is: they decide which of its rows are read, be it all of them.
    """
    guarded = {tree.root: bool(bound.catalog.cubes[tree.root].policies) or bound.rows.of(tree.root) is not None}
    edges = []
    for edge in tree.edges:
        protected = bound.rows.of(edge.child) is not None
        restrict = protected and edge.relationship != "one_to_many" and not guarded[edge.parent]
        guarded[edge.child] = guarded[edge.parent] or protected
        edges.append(replace(edge, restrict=True) if restrict else edge)
    return tuple(edges)


def _by_scope_and_fact(leaves: Iterable[Leaf]) -> dict[tuple[Scope, str], list[Leaf]]:
    found: dict[tuple[Scope, str], list[Leaf]] = {}
    for leaf in leaves:
        found.setdefault((leaf.scope, leaf.cube), []).append(leaf)
    return found


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Parts that read the same rows become one."""
    found: list[Part] = []
    for part in parts:
        for index, known in enumerate(found):
            same = known.tree.root == part.tree.root and known.tree.edges == part.tree.edges
            same = same and known.scope == part.scope and known.where == part.where
            if same and not known.fact_key and not part.fact_key:
                subs = {sub.dimension: sub for sub in (*known.tree.sub_queries, *part.tree.sub_queries)}
                tree = replace(known.tree, sub_queries=tuple(subs.values()))
                found[index] = replace(known, tree=tree, leaves=(*known.leaves, *part.leaves))
                break
        else:
            found.append(part)
    return found


def _safe(leaf: Leaf) -> bool:
    plain_count = leaf.measure.type == "count" and leaf.tree is None
    return not leaf.raw and (plain_count or leaf.measure.type in SAFE)
