"""Bound query → logical plan: every fact aggregated on its own at the grain asked for, never multiplied by a join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlglot import exp

from core.errors import NoJoinPath, Unanswerable
from engine.model.catalog import Catalog, Dimension, Measure
from engine.plan.formulas import Formulas, facts
from engine.plan.joins import join_tree, required_tree
from engine.plan.nodes import Edge, Leaf, Part, Plan, SubQuery, Tree
from engine.query.bound import (
    BoundDimension,
    BoundFilter,
    BoundGroup,
    BoundQuery,
    BoundTree,
    Path,
    full_paths,
    tree_names,
    tree_paths,
)

SAFE = ("count_distinct", "count_distinct_approx", "min", "max")
"""Aggregates that a row counted twice does not change."""


def build(bound: BoundQuery) -> Plan:
    """The plan; NoJoinPath or Unanswerable where no right answer can be computed."""
    _refuse_unsupported(bound)
    _refuse_windows(bound)
    formulas = Formulas(bound.catalog)
    for each in bound.measures:
        formulas.add(each.measure, each.path)
    for tree in (*bound.having, *bound.mixed):
        for leaf in _measure_filters(tree):
            formulas.add(leaf.member, leaf.path)  # type: ignore[arg-type]
    _check_mixed(bound)
    parts, ignored = _Parts(bound).of(list(formulas.leaves.values()))
    return Plan(
        query=bound,
        dimensions=bound.dimensions,
        parts=parts,
        formulas=formulas.formulas,
        having=(*bound.having, *bound.mixed),
        order=bound.order,
        ignored=ignored,
    )


class _Parts:
    """Builds the parts of one plan."""

    def __init__(self, bound: BoundQuery) -> None:
        self.bound = bound
        self.catalog = bound.catalog
        self.dimension_paths = [path for each in bound.dimensions for path in self._paths(each.path, each.dimension)]

    def _paths(self, path: Path, member: Dimension | Measure) -> list[Path]:
        return full_paths(self.catalog, path, member.full_name)

    def of(self, leaves: list[Leaf]) -> tuple[tuple[Part, ...], dict[str, tuple[BoundTree, ...]]]:
        """The parts, and for each fact the conditions that do not concern it."""
        if self.bound.ungrouped or not leaves:
            return (self._single(leaves),), {}
        by_fact = facts(leaves)
        parts: list[Part] = []
        ignored: dict[str, tuple[BoundTree, ...]] = {}
        for fact, own in by_fact.items():
            where, idle = self._applicable(own, alone=len(by_fact) == 1)
            parts.extend(self._fact(fact, own, where))
            if idle:
                ignored[fact] = idle
        for tree in self.bound.where:
            if ignored and all(tree in ignored.get(fact, ()) for fact in by_fact):
                raise NoJoinPath("A filter can be joined to none of the measures asked for.")
        return tuple(_merged(parts)), ignored

    def _single(self, leaves: list[Leaf]) -> Part:
        where = (*self.bound.where, *self.bound.required)
        tree = required_tree(
            self.catalog, [*self._leaf_paths(leaves), *self.dimension_paths, *self._where_paths(where)]
        )
        return Part(self._finished(tree, leaves, where), tuple(leaves), where)

    def _applicable(self, leaves: list[Leaf], *, alone: bool) -> tuple[tuple[BoundTree, ...], tuple[BoundTree, ...]]:
        """Which conditions concern the fact. With several facts, one may filter by what only another one knows."""
        every = (*self.bound.where, *self.bound.required)
        base = [*self._leaf_paths(leaves), *self.dimension_paths]
        if alone or join_tree(self.catalog, [*base, *self._where_paths(every)]):
            return every, ()
        used: list[BoundTree] = list(self.bound.required)
        idle: list[BoundTree] = []
        for tree in self.bound.where:
            reachable = join_tree(self.catalog, [*base, *self._where_paths([*used, tree])])
            (used if reachable else idle).append(tree)
        return tuple(used), tuple(idle)

    def _fact(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...]) -> list[Part]:
        around = [*self.dimension_paths, *self._where_paths(where)]
        tree = required_tree(self.catalog, [*self._leaf_paths(leaves), *around], fact)
        if not tree.multiplies(fact):
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, fact=fact)]
        if all(_safe(leaf) for leaf in leaves):
            self._need_key(fact)
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, fact=fact)]
        return self._keyed(fact, leaves, where, around)

    def _keyed(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...], around: list[Path]) -> list[Part]:
        """The fact's rows once for each group; safe aggregates whose own SQL multiplies go beside them."""
        self._need_key(fact)
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
            parts.append(Part(self._finished(tree, plain, where), tuple(plain), where, fact, fact_key=True))
        if raw:
            parts.append(self._rejoined(fact, raw, where, around))
        return parts

    def _rejoined(self, fact: str, leaves: list[Leaf], where: tuple[BoundTree, ...], around: list[Path]) -> Part:
        tree = required_tree(self.catalog, [leaves[0].path, *around], fact)
        fact_tree = required_tree(self.catalog, [(fact,), *self._reference_paths(leaves)], fact)
        if fact_tree.root != fact:
            raise Unanswerable(f"'{leaves[0].measure.full_name}' reads cubes which '{fact}' has no join to.")
        own = self._finished(fact_tree, leaves, ())
        return Part(self._finished(tree, [], where), tuple(leaves), where, fact, fact_key=True, fact_tree=own)

    def _multiplied_alone(self, leaves: Iterable[Leaf]) -> bool:
        listed = list(leaves)
        if not listed:
            return False
        fact = listed[0].cube
        tree = join_tree(self.catalog, [(fact,), *self._reference_paths(listed)], fact)
        return tree is None or tree.multiplies(fact)

    def _need_key(self, fact: str) -> None:
        if not self.catalog.cubes[fact].primary_key:
            raise Unanswerable(
                f"primary key for '{fact}' is required when join is defined in order to make aggregates work properly",
                hint=f"Mark a dimension of '{fact}' with primary_key: true.",
            )

    def _leaf_paths(self, leaves: Iterable[Leaf]) -> list[Path]:
        listed = list(leaves)
        return [*(leaf.path for leaf in listed), *self._reference_paths(listed)]

    def _reference_paths(self, leaves: Iterable[Leaf]) -> list[Path]:
        return [path for leaf in leaves for path in self._paths(leaf.path, leaf.measure)[1:]]

    def _where_paths(self, where: Iterable[BoundTree]) -> list[Path]:
        return [path for tree in where for path in tree_paths(self.catalog, tree)]

    def _finished(self, tree: Tree, leaves: Iterable[Leaf], where: Iterable[BoundTree]) -> Tree:
        """The tree with the caller's rights and its sub-queries."""
        names = [each.dimension.full_name for each in self.bound.dimensions]
        names += [leaf.measure.full_name for leaf in leaves]
        names += [name for each in where for name in tree_names(each)]
        names += [f"{edge.parent}>{edge.child}" for edge in tree.edges]
        wanted = dict.fromkeys(sub for name in names for sub in self.catalog.expanded[name].sub_queries)
        subs = tuple(self._sub_query(name) for name in wanted if name.partition(".")[0] in tree.cubes)
        for cube in tree.cubes:
            self._usable(cube)
        for edge in tree.edges:
            problem = self.catalog.expanded[f"{edge.parent}>{edge.child}"].unsupported
            if problem:
                raise Unanswerable(f"The join of '{edge.parent}' to '{edge.child}' needs {problem}.")
        return replace(tree, edges=_restricted(tree, self.bound), sub_queries=subs)

    def _usable(self, cube: str) -> None:
        problem = self.catalog.expanded[f"{cube}#table"].unsupported
        if problem:
            raise Unanswerable(f"The cube '{cube}' needs {problem}; that cannot be answered yet.")

    def _sub_query(self, name: str) -> SubQuery:
        """The measure of a sub-query dimension for each row of its cube."""
        owner, _, own_name = name.partition(".")
        dimension = self.catalog.cubes[owner].dimensions[own_name]
        cube = self.catalog.cubes[dimension.cube]
        self._need_key(cube.name)
        formulas = Formulas(self.catalog)
        formulas.value("value", self.catalog.tree(f"{name}#value"), (cube.name,))
        keys = tuple(BoundDimension(key.name, (cube.name,), key) for key in cube.primary_key)
        where = self.bound.where if dimension.propagate_filters else ()
        bound = replace(
            self.bound, dimensions=keys, measures=(), where=where, having=(), mixed=(), order=(), limit=False
        )
        bound = replace(bound, required=(), offset=False, total=False, ungrouped=False)
        parts, ignored = _Parts(bound).of(list(formulas.leaves.values()))
        plan = Plan(bound, keys, parts, formulas.formulas, ignored=ignored)
        return SubQuery(cube.name, name, tuple(key.name for key in cube.primary_key), plan)


def _restricted(tree: Tree, bound: BoundQuery) -> tuple[Edge, ...]:
    """Edges to protected cubes drop rows without a partner where nothing before them is protected."""
    guarded = {tree.root: bound.rows.of(tree.root) is not None}
    edges = []
    for edge in tree.edges:
        protected = bound.rows.of(edge.child) is not None
        restrict = protected and edge.relationship != "one_to_many" and not guarded[edge.parent]
        guarded[edge.child] = guarded[edge.parent] or protected
        edges.append(replace(edge, restrict=restrict))
    return tuple(edges)


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Parts that read the same rows become one."""
    found: list[Part] = []
    for part in parts:
        for index, known in enumerate(found):
            same = known.tree.root == part.tree.root and known.tree.edges == part.tree.edges
            if same and not known.fact_key and not part.fact_key and known.where == part.where:
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


def _measure_filters(tree: BoundTree) -> list[BoundFilter]:
    if isinstance(tree, BoundGroup):
        return [leaf for each in tree.filters for leaf in _measure_filters(each)]
    return [tree] if isinstance(tree, BoundFilter) and isinstance(tree.member, Measure) else []


def _check_mixed(bound: BoundQuery) -> None:
    """In a group with measures, a dimension must be one of the answer: otherwise it has no one value a row."""
    grouped = {each.dimension.full_name for each in bound.dimensions if each.granularity is None}
    for tree in bound.mixed:
        for name in tree_names(tree):
            if isinstance(bound.catalog.primitive(name), Dimension) and name not in grouped:
                raise Unanswerable(
                    "You cannot use dimension and measure in same condition: "
                    f"'{name}' is not among the dimensions asked.",
                    hint=f"Add '{name}' to dimensions.",
                )
            if not isinstance(bound.catalog.primitive(name), Dimension | Measure):
                raise Unanswerable(f"The segment '{name}' cannot stand in one condition with a measure.")


def _refuse_unsupported(bound: BoundQuery) -> None:
    names = [each.dimension.full_name for each in bound.dimensions]
    names += [name for tree in (*bound.where, *bound.required, *bound.mixed) for name in tree_names(tree)]
    for name in names:
        problem = bound.catalog.expanded[name].unsupported
        if problem:
            raise Unanswerable(f"'{name}' needs {problem}; that cannot be answered yet.", member=name)


def _refuse_windows(bound: BoundQuery) -> None:
    """A measure with OVER looks at other groups; one that a measure filter hides would be missing from it."""
    if not (bound.having or bound.mixed):
        return
    for each in bound.measures:
        name = each.measure.full_name
        for known in (name, *bound.catalog.expanded[name].measures):
            tree = bound.catalog.expanded[known].tree
            if tree is not None and tree.find(exp.Window):
                raise Unanswerable(
                    f"'{known}' compares groups with each other: it cannot stand beside a filter on a measure.",
                    hint="Filter by dimensions, or leave the measure out.",
                    member=known,
                )


def used_tables(catalog: Catalog, plan: Plan) -> tuple[str, ...]:
    """The cubes that the plan reads, each once."""
    found: dict[str, None] = {}
    for part in plan.parts:
        for tree in filter(None, (part.tree, part.fact_tree)):
            found.update(dict.fromkeys(tree.cubes))
            for sub in tree.sub_queries:
                found.update(dict.fromkeys(used_tables(catalog, sub.plan)))
    return tuple(found)
