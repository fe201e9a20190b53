"""What a bound query asks of a rollup: leaf measures, groups, conditions (the caller's rights too), join tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from engine.model.catalog import Catalog, Dimension, Measure
from engine.model.markers import CONTEXT, FILTERED, FORMULAS
from engine.plan.joins import join_tree
from engine.plan.nodes import Tree
from engine.query.bound import (
    BoundDimension,
    BoundFilter,
    BoundGroup,
    BoundQuery,
    BoundSegment,
    BoundTree,
    Path,
    full_paths,
    tree_paths,
)

ADDITIVE = frozenset({"count", "sum", "min", "max", "count_distinct_approx", "running_total"})
_MULTI_STAGE = frozenset({"rank", "number_agg"})


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One query in the terms of rollups. `problem` says why no rollup can serve it, whatever it keeps;
    `single_values` are the dimensions which a condition pins to one value."""

    catalog: Catalog
    tree: Tree | None
    cubes: tuple[str, ...]
    measures: tuple[Measure, ...]
    leaves: tuple[Measure, ...]
    not_additive: tuple[str, ...]
    dimensions: tuple[BoundDimension, ...]
    times: tuple[BoundDimension, ...]
    filters: tuple[BoundFilter, ...]
    segments: tuple[str, ...]
    single_values: frozenset[str]
    values: Sequence[Any]
    ungrouped: bool
    problem: str | None

    @property
    def additive(self) -> bool:
        """Whether every measure can be added up from parts."""
        return not self.not_additive

    @staticmethod
    def of(bound: BoundQuery, values: Sequence[Any]) -> Asked:
        """Take a bound query apart."""
        return _taken_apart(bound, values)


def _taken_apart(bound: BoundQuery, values: Sequence[Any]) -> Asked:
    catalog = bound.catalog
    leaves = list(dict.fromkeys(leaf for each in _measures(bound) for leaf in leaf_measures(catalog, each)))
    conditions = [*bound.where, *bound.required, *bound.mixed]
    tree, cubes = _tree(bound, leaves, conditions)
    rights = [bound.rows.of(cube) for cube in (tree.cubes if tree else cubes)]
    conditions += [each for each in rights if each is not None]
    filters = tuple(leaf for each in conditions for leaf in _filters(each))
    segments = tuple(each.segment.full_name for tree_ in conditions for each in _segments(tree_))
    return Asked(
        catalog=catalog,
        tree=tree,
        cubes=cubes,
        measures=tuple(_measures(bound)),
        leaves=tuple(leaves),
        not_additive=tuple(each.full_name for each in leaves if not _is_additive(each)),
        dimensions=tuple(each for each in bound.dimensions if each.granularity is None),
        times=tuple(each for each in bound.dimensions if each.granularity is not None),
        filters=tuple(each for each in filters if isinstance(each.member, Dimension)),
        segments=segments,
        single_values=frozenset(_pinned(conditions, values)),
        values=values,
        ungrouped=bound.ungrouped,
        problem=_problem(bound, tree, cubes, leaves, filters),
    )


def _measures(bound: BoundQuery) -> Iterator[Measure]:
    yield from (each.measure for each in bound.measures)
    for tree in (*bound.having, *bound.mixed):
        yield from (leaf.member for leaf in _filters(tree) if isinstance(leaf.member, Measure))


def leaf_measures(catalog: Catalog, measure: Measure) -> Iterator[Measure]:
    """The measures of which a formula is made; a formula with aggregates of its own is a leaf too."""
    spelled = catalog.expanded[measure.full_name]
    if measure.type not in FORMULAS or not spelled.measures:
        yield measure
        return
    if spelled.tree is not None and spelled.tree.find(exp.AggFunc):
        yield measure
    for name in spelled.measures:
        inner = catalog.primitive(name)
        if isinstance(inner, Measure):
            yield from leaf_measures(catalog, inner)


def _is_additive(measure: Measure) -> bool:
    return measure.type in ADDITIVE and measure.stage is None and measure.snapshot is None


def _tree(bound: BoundQuery, leaves: Sequence[Measure], conditions: Sequence[BoundTree]) -> tuple[Tree | None, Path]:
    """The one tree of the query, None where its facts are aggregated apart; and the cubes that it reads."""
    catalog = bound.catalog
    around = [path for each in bound.dimensions for path in full_paths(catalog, each.path, each.dimension.full_name)]
    around += [path for tree in conditions for path in tree_paths(catalog, tree)]
    facts = list(dict.fromkeys(leaf.cube for leaf in leaves))
    own = [path for leaf in leaves for path in full_paths(catalog, (leaf.cube,), leaf.full_name)]
    paths = [*(each.path for each in bound.measures), *own, *around]
    tree = join_tree(catalog, paths, facts[0] if facts else None) if len(facts) < 2 else None
    return tree, tree.cubes if tree else tuple(dict.fromkeys(cube for path in paths for cube in path))


def _filters(tree: BoundTree) -> Iterator[BoundFilter]:
    if isinstance(tree, BoundGroup):
        for each in tree.filters:
            yield from _filters(each)
    elif isinstance(tree, BoundFilter):
        yield tree


def _segments(tree: BoundTree) -> Iterator[BoundSegment]:
    if isinstance(tree, BoundGroup):
        for each in tree.filters:
            yield from _segments(each)
    elif isinstance(tree, BoundSegment):
        yield tree


def _pinned(conditions: Sequence[BoundTree], values: Sequence[Any]) -> Iterator[str]:
    for tree in conditions:
        if isinstance(tree, BoundGroup) and tree.operator == "and":
            yield from _pinned(tree.filters, values)
        elif isinstance(tree, BoundFilter) and tree.operator in ("equals", "in") and len(tree.values) == 1:
            value = tree.values[0]
            if value is None or isinstance(value, str) or not isinstance(values[value.index], list):
                yield tree.member.full_name


def _problem(
    bound: BoundQuery, tree: Tree | None, cubes: Path, leaves: Sequence[Measure], filters: Sequence[BoundFilter]
) -> str | None:
    facts = list(dict.fromkeys(leaf.cube for leaf in leaves))
    if len(facts) > 1:
        return f"Measures of several cubes ({', '.join(facts)}) are aggregated apart; a rollup keeps those of one."
    if tree is None:
        return "The members of the query have no common join tree."
    named = [each.dimension for each in bound.dimensions] + [each.member for each in filters]
    staged = next((each.full_name for each in (*_measures(bound), *leaves, *named) if _is_staged(each)), None)
    if staged is not None:
        return f"'{staged}' is computed in several stages, from the rows themselves."
    moved = next((each for each in named if isinstance(each, Dimension) and each.propagate_filters), None)
    if moved is not None:
        return f"'{moved.full_name}' depends on the filters of the query."
    volatile = next((cube for cube in cubes if _looks_at_query(bound.catalog, cube)), None)
    if volatile is not None:
        return f"The SQL of '{volatile}' looks at the query's filters or at the caller."
    return None


def _is_staged(member: Measure | Dimension) -> bool:
    """Whether a member is made of other groups, or of chosen rows of them, than those that are asked for."""
    if isinstance(member, Dimension):
        return member.stage is not None
    return member.stage is not None or member.snapshot is not None or member.type in _MULTI_STAGE


def _looks_at_query(catalog: Catalog, cube: str) -> bool:
    tree = catalog.expanded[f"{cube}#table"].tree
    return tree is not None and any(node.name in (FILTERED, CONTEXT) for node in tree.find_all(exp.Anonymous))
