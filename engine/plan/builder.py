"""Bound query → logical plan: every fact aggregated on its own at the grain asked for, never multiplied by a join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from core.errors import NoJoinPath, Unanswerable
from engine.model.catalog import Catalog, Dimension, Measure
from engine.model.stages import Stage
from engine.plan.grain import more_dimensions
from engine.plan.joins import join_tree, required_tree
from engine.plan.nodes import AnyPart, Edge, Leaf, Part, Plan, Scope, Series, StagePart, SubQuery, Tree
from engine.plan.scopes import staged_scope
from engine.plan.terms import Terms, inner_question
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
from engine.query.request import Slot

SAFE = ("count_distinct", "count_distinct_approx", "min", "max")
"""Aggregates that a row counted twice does not change."""


def build(bound: BoundQuery) -> Plan:
    """The plan; NoJoinPath or Unanswerable where no right answer can be computed."""
    _refuse_unsupported(bound)
    terms = _terms(bound)
    for each in bound.measures:
        terms.add(each.measure, each.path)
    for tree in (*bound.having, *bound.mixed):
        for leaf in _measure_filters(tree):
            terms.add(leaf.member, leaf.path)  # type: ignore[arg-type]
    _check_mixed(bound)
    return _assembled(terms)


def _terms(bound: BoundQuery) -> Terms:
    return Terms(bound, _assembled, _Parts(bound).alone)


def _assembled(terms: Terms) -> Plan:
    """The plan of one grain from the terms that its measures need."""
    bound = terms.bound
    stages, fixed = terms.stages(), terms.fixed()
    if bound.having or bound.mixed:
        terms.lift_windows()
    if bound.ungrouped and (stages or fixed or terms.windows):
        raise Unanswerable("An ungrouped query cannot have measures of several stages.")
    parts: tuple[AnyPart, ...] = stages
    if terms.leaves or not stages:
        parts = (*_Parts(bound).of(list(terms.leaves.values())), *stages)
    return Plan(
        query=bound,
        dimensions=bound.dimensions,
        parts=parts,
        formulas=terms.formulas,
        fixed=fixed,
        windows=terms.windows,
        having=(*bound.having, *bound.mixed),
        order=bound.order,
    )


class _Parts:
    """Builds the parts of one plan."""

    def __init__(self, bound: BoundQuery) -> None:
        self.bound = bound
        self.catalog = bound.catalog
        self.dimension_paths = [path for each in bound.dimensions for path in self._paths(each.path, each.dimension)]

    def _paths(self, path: Path, member: Dimension | Measure) -> list[Path]:
        return full_paths(self.catalog, path, member.full_name)

    def alone(self, leaf: Leaf) -> bool:
        """Whether each row that the leaf counts lies in one group only."""
        if any(each.dimension.type == "switch" for each in self.bound.dimensions):
            return False
        paths = [*self._leaf_paths([leaf]), *self.dimension_paths, *self._where_paths(leaf.scope.where)]
        tree = join_tree(self.catalog, paths, leaf.cube)
        return tree is not None and not tree.multiplies(leaf.cube)

    def of(self, leaves: list[Leaf]) -> tuple[Part | Series, ...]:
        """The parts of one grain."""
        if self.bound.ungrouped or not leaves:
            return (self._single(leaves),)
        groups = _by_scope_and_fact(leaves)
        alone = len({fact for _, fact in groups}) == 1
        parts: list[Part] = []
        for (_, fact), own in groups.items():
            where, idle = self._applicable(own, alone=alone)
            parts.extend(replace(part, ignored=idle) for part in self._fact(fact, own, where))
        for tree in self.bound.where:
            if all(tree in part.ignored for part in parts):
                raise NoJoinPath("A filter can be joined to none of the measures asked for.")
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
        scope = leaves[0].scope
        tree = required_tree(self.catalog, [*self._leaf_paths(leaves), *around], fact)
        if not tree.multiplies(fact):
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, scope, fact)]
        if all(_safe(leaf) for leaf in leaves):
            self._need_key(fact)
            return [Part(self._finished(tree, leaves, where), tuple(leaves), where, scope, fact)]
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

    def _need_key(self, fact: str) -> None:
        if not self.catalog.cubes[fact].primary_key:
            raise Unanswerable(
                f"primary key for '{fact}' is required when join is defined in order to make aggregates work properly",
                hint=f"Mark a dimension of '{fact}' with primary_key: true.",
            )

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
        names += [name for each in where for name in tree_names(each)]
        names += [f"{edge.parent}>{edge.child}" for edge in tree.edges]
        wanted = dict.fromkeys(sub for name in names for sub in self.catalog.expanded[name].sub_queries)
        subs = tuple(self._sub_query(name) for name in wanted if name.partition(".")[0] in tree.cubes)
        for cube in tree.cubes:
            self._usable(cube)
        for edge in tree.edges:
            self._joinable(edge, tree)
        return replace(tree, edges=_restricted(tree, self.bound), sub_queries=subs)

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

    def _sub_query(self, name: str) -> SubQuery:
        """The value of a sub-query, multi-stage or switch dimension for each row of its cube."""
        owner, _, own_name = name.partition(".")
        dimension = self.catalog.cubes[owner].dimensions[own_name]
        if dimension.type == "switch":
            self._check_switch(dimension)
            return SubQuery(owner, name, values=dimension.values)
        if dimension.stage is not None:
            return self._stage_dimension(dimension, dimension.stage)
        cube = self.catalog.cubes[dimension.cube]
        self._need_key(cube.name)
        keys = tuple(BoundDimension(key.full_name, (cube.name,), key, raw=True) for key in cube.primary_key)
        plain = (tree for tree in self.bound.where if not self._built_on(tree))
        where = tuple(plain) if dimension.propagate_filters else ()
        return self._valued(dimension, keys, where, exact=True)

    def _built_on(self, tree: BoundTree) -> set[str]:
        """The sub-query dimensions in a condition: it cannot hold within one of them, which it would need first."""
        return {sub for name in tree_names(tree) for sub in self.catalog.expanded[name].sub_queries}

    def _stage_dimension(self, dimension: Dimension, stage: Stage) -> SubQuery:
        """A dimension made of measures: computed for each group of the dimensions that it adds."""
        found = more_dimensions(replace(self.bound, dimensions=()), stage, (dimension.cube,))
        keys = tuple(replace(each, raw=True) for each in found)
        if not keys:
            raise Unanswerable(f"'{dimension.full_name}' needs add_group_by: the dimensions that it is computed for.")
        where = tuple(tree for tree in self.bound.where if dimension.full_name not in self._built_on(tree))
        return self._valued(dimension, keys, where, exact=False)

    def _valued(
        self, dimension: Dimension, keys: tuple[BoundDimension, ...], where: tuple[BoundTree, ...], *, exact: bool
    ) -> SubQuery:
        time = self.bound.time
        if time is not None and time.range not in where:
            time = None
        bound = replace(inner_question(self.bound, keys), where=where, required=(), time=time)
        terms = _terms(bound)
        scope = staged_scope(bound, terms.base, dimension.stage) if dimension.stage else None
        terms.value("value", self.catalog.tree(f"{dimension.full_name}#value"), (dimension.cube,), scope)
        names = tuple(key.dimension.full_name for key in keys)
        return SubQuery(dimension.cube, dimension.full_name, names, _assembled(terms), exact)

    def _check_switch(self, dimension: Dimension) -> None:
        """A switch that is not asked for must be fixed to one value, or every row would count several times."""
        name = dimension.full_name
        if any(each.dimension is dimension for each in self.bound.dimensions):
            return
        for tree in self.bound.where:
            one = isinstance(tree, BoundFilter) and tree.operator in ("equals", "in") and len(tree.values) == 1
            slot = tree.values[0] if isinstance(tree, BoundFilter) and tree.values else None
            listed = isinstance(slot, Slot) and slot.kind.startswith("list:")
            if one and not listed and tree_names(tree) == [name]:
                return
        raise Unanswerable(
            f"The switch '{name}' has several values here.", hint="Ask for it, or filter it to one value.", member=name
        )


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


def used_tables(catalog: Catalog, plan: Plan) -> tuple[str, ...]:
    """The cubes that the plan reads, each once."""
    found: dict[str, None] = {}
    for inner in (
        *(fixed.plan for fixed in plan.fixed),
        *(part.plan for part in plan.parts if isinstance(part, StagePart)),
    ):
        found.update(dict.fromkeys(used_tables(catalog, inner)))
    for part in plan.parts:
        if isinstance(part, Part):
            for tree in filter(None, (part.tree, part.fact_tree)):
                found.update(dict.fromkeys(tree.cubes))
                for sub in tree.sub_queries:
                    found.update(dict.fromkeys(used_tables(catalog, sub.plan) if sub.plan else ()))
    return tuple(found)
