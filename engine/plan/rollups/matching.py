"""Which of the declared rollups could serve a query, and for each that cannot, why. Pure: no rollup table is built.

A rollup is a GROUP BY of one join tree. It can serve a query of the same tree if every bucket and group asked for is
made of whole rows of it (additive measures), or is exactly one row of it (all other measures).

    kept: day, city → count          asked: month → count          asked: month → average
    01-01 Rome 3 | 01-02 Rome 4  →   2024-01: 3 + 4 = 7            refused: days cannot be averaged
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.model.catalog import Catalog
from engine.model.rollups import Named, Rollup
from engine.plan.joins import join_tree
from engine.plan.nodes import Tree
from engine.plan.rollups.asked import Asked
from engine.plan.rollups.grains import begins, ends, is_made_of
from engine.plan.rollups.windows import window_problem
from engine.query.bound import BoundDimension, BoundFilter, BoundQuery
from engine.query.request import Slot, Value

_RANGES = frozenset({"inDateRange", "notInDateRange", "onTheDate"})
_STARTS = frozenset({"beforeDate", "afterOrOnDate"})
_ENDS = frozenset({"beforeOrOnDate", "afterDate"})
_FINENESS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


@dataclass(frozen=True, slots=True)
class Match:
    """Whether a rollup could serve the query, in words; `preferred` is the cheapest of those that could."""

    rollup: Rollup
    matches: bool
    reason: str
    preferred: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a rollup keeps: its members by full name, and the join tree that it is made of (None: it has none)."""

    rollup: Rollup
    tree: Tree | None
    measures: frozenset[str]
    dimensions: frozenset[str]
    segments: frozenset[str]
    times: tuple[tuple[str, str], ...]

    def granularities(self, dimension: str) -> list[str]:
        """The granularities at which it keeps a time dimension."""
        return [granularity for name, granularity in self.times if name == dimension]


Rule = Callable[[Asked, Kept], "str | None"]


def match_rollups(bound: BoundQuery, values: Sequence[Any]) -> tuple[Match, ...]:
    """Every rollup of the cubes that the query reads, in the order of joins; `values` fill the slots of `bound`."""
    asked = Asked.of(bound, values)
    rollups = [rollup for cube in asked.cubes for rollup in bound.catalog.cubes[cube].rollups.values()]
    found = [_match(asked, rollup) for rollup in rollups]
    fitting = [index for index, match in enumerate(found) if match.matches]
    if fitting:
        best = min(fitting, key=lambda index: (*_size(found[index].rollup), index))
        found[best] = replace(found[best], preferred=True)
    return tuple(found)


def _size(rollup: Rollup) -> tuple[bool, int, int]:
    """About how many rows it has: fewer members by which it is grouped, then coarser buckets, mean fewer."""
    grouped = len(rollup.dimensions) + len(rollup.segments) + len(rollup.times)
    known = (_FINENESS.index(time.granularity) for time in rollup.times if time.granularity in _FINENESS)
    return rollup.type == "original_sql", grouped, sum(known)


def _match(asked: Asked, rollup: Rollup) -> Match:
    if asked.problem is not None:
        return Match(rollup, False, asked.problem)
    if rollup.type == "original_sql":
        return Match(rollup, True, f"It keeps the rows of '{rollup.cube}' themselves, which the query reads.")
    kept = _kept(asked.catalog, rollup)
    for rule in RULES:
        problem = rule(asked, kept)
        if problem is not None:
            return Match(rollup, False, problem)
    return Match(rollup, True, "It keeps all that the query asks for, at a grain that is fine enough.")


def _kept(catalog: Catalog, rollup: Rollup) -> Kept:
    """A lambda without members of its own keeps those of its first rollup."""
    members = rollup
    if rollup.type == "rollup_lambda" and not rollup.members and rollup.rollups:
        cube, _, name = rollup.rollups[0].partition(".")
        members = catalog.cubes[cube].rollups.get(name, rollup) if cube in catalog.cubes else rollup
    known = all(name in catalog.expanded for name in (each.full_name for each in members.members))
    paths = [path for each in members.members for path in _paths(catalog, each)] if known else []
    fact = next((each.path[-1] for each in members.measures), None)
    return Kept(
        rollup,
        join_tree(catalog, paths, fact) if paths else None,
        _names(members.measures),
        _names(members.dimensions),
        _names(members.segments),
        tuple((time.dimension.full_name, time.granularity) for time in members.times),
    )


def _paths(catalog: Catalog, each: Named) -> Iterator[tuple[str, ...]]:
    yield each.path
    yield from (path[1:] for path in catalog.expanded[each.full_name].paths if len(path) > 1)


def _names(members: Sequence[Named]) -> frozenset[str]:
    return frozenset(each.full_name for each in members)


def _is_whole(_: Asked, kept: Kept) -> str | None:
    if kept.tree is None:
        return "It names members that are not there, or that cannot be joined."
    return None


def _measures(asked: Asked, kept: Kept) -> str | None:
    wanted = asked.leaves if asked.additive else asked.measures
    if {measure.full_name for measure in asked.leaves} <= kept.measures:
        return None
    missing = [measure.full_name for measure in wanted if measure.full_name not in kept.measures]
    return f"It does not keep {_listed(missing)}." if missing else None


def _dimensions(asked: Asked, kept: Kept) -> str | None:
    missing = [each.dimension.full_name for each in asked.dimensions if not _keeps(kept, each)]
    return f"It does not keep {_listed(missing)}, by which the query groups." if missing else None


def _keeps(kept: Kept, each: BoundDimension) -> bool:
    return each.dimension.full_name in kept.dimensions


def _times(asked: Asked, kept: Kept) -> str | None:
    for each in asked.times:
        name, granularity = each.dimension.full_name, each.granularity or ""
        found = kept.granularities(name)
        if name in kept.dimensions or any(is_made_of(granularity, each.custom, own) for own in found):
            continue
        if not found:
            return f"It does not keep '{name}', by which the query groups."
        return f"It keeps '{name}' by {_listed(found)}, of which no '{granularity}' is made."
    return None


def _filters(asked: Asked, kept: Kept) -> str | None:
    return next(filter(None, (_filter(asked, kept, leaf) for leaf in asked.filters)), None)


def _filter(asked: Asked, kept: Kept, leaf: BoundFilter) -> str | None:
    name = leaf.member.full_name
    if name in kept.dimensions or leaf.member.full_name in kept.measures:
        return None
    found = kept.granularities(name)
    if not found:
        return f"It does not keep '{name}', by which the query filters."
    if leaf.operator in ("set", "notSet"):
        return None
    if leaf.operator not in _RANGES | _STARTS | _ENDS:
        return f"It keeps '{name}' by {_listed(found)}; '{leaf.operator}' looks within."
    if kept.rollup.non_strict or any(_aligned(leaf, asked.values, own) for own in found):
        return None
    return f"The range of '{name}' does not begin and end with a whole {' or '.join(found)}."


def _aligned(leaf: BoundFilter, values: Sequence[Any], granularity: str) -> bool:
    if granularity not in _FINENESS:
        return False
    texts = [text for text in (_text(value, values) for value in leaf.values) if text is not None]
    if not texts:
        return False
    starts = begins(texts[0], granularity) if leaf.operator in _RANGES | _STARTS else True
    return starts and (ends(texts[-1], granularity) if leaf.operator in _RANGES | _ENDS else True)


def _text(value: Value, values: Sequence[Any]) -> str | None:
    return str(values[value.index]) if isinstance(value, Slot) else value


def _segments(asked: Asked, kept: Kept) -> str | None:
    missing = [name for name in asked.segments if name not in kept.segments]
    return f"It does not keep the segment {_listed(missing)}." if missing else None


def _tree(asked: Asked, kept: Kept) -> str | None:
    """The rows must be those of the same tree: a rollup from another cube lacks rows, or has others."""
    if asked.tree is None or kept.tree is None:
        return None
    if asked.tree.root != kept.tree.root:
        return f"It starts from the rows of '{kept.tree.root}', the query from those of '{asked.tree.root}'."
    own = {(edge.parent, edge.child) for edge in kept.tree.edges}
    other = next((edge for edge in asked.tree.edges if (edge.parent, edge.child) not in own), None)
    if other is not None:
        return f"The query comes to '{other.child}' from '{other.parent}', the rollup by another way or not at all."
    return None


def _multiplied(asked: Asked, kept: Kept) -> str | None:
    for measure in asked.leaves:
        if asked.tree is not None and asked.tree.multiplies(measure.cube):
            return f"The joins of the query multiply the rows of '{measure.full_name}'."
        if kept.tree is not None and kept.tree.multiplies(measure.cube):
            return f"The joins of the rollup multiply the rows of '{measure.full_name}'."
    return None


def _grain(asked: Asked, kept: Kept) -> str | None:
    """What cannot be added up must be one row of the rollup: the same dimensions, or one value of each other."""
    if asked.additive or asked.ungrouped:
        return None
    culprit = f"'{asked.not_additive[0]}'"
    wanted = {each.dimension.full_name for each in asked.dimensions}
    spare = kept.dimensions - wanted - asked.single_values
    if spare:
        return f"{culprit} cannot be added up over {_listed(sorted(spare))}, which it keeps too."
    exact = {(each.dimension.full_name, each.granularity) for each in asked.times}
    if exact != set(kept.times):
        return f"{culprit} cannot be added up: the rollup's times must be those of the query."
    return None


def _windows(asked: Asked, kept: Kept) -> str | None:
    for measure in asked.leaves:
        problem = window_problem(measure, [granularity for _, granularity in kept.times])
        if problem is not None:
            return problem
    return None


def _ungrouped(asked: Asked, kept: Kept) -> str | None:
    if not asked.ungrouped or asked.tree is None or kept.tree is None:
        return None
    keys = [each.full_name for each in asked.catalog.cubes[asked.tree.root].primary_key]
    if not keys or not set(keys) <= kept.dimensions or kept.tree.multiplies(asked.tree.root):
        return f"An ungrouped query needs the rows of '{asked.tree.root}' one by one: the rollup lacks its primary key."
    return None


def _joined(asked: Asked, kept: Kept) -> str | None:
    """A rollup_join joins rollups by members; a join that is written on columns cannot be read from them."""
    if kept.rollup.type != "rollup_join" or kept.tree is None:
        return None
    for edge in kept.tree.edges:
        join = asked.catalog.cubes[edge.parent].joins[edge.child]
        if any(reference.member is None for reference in join.sql.references):
            return f"The join of '{edge.parent}' to '{edge.child}' is written on columns; a rollup_join needs members."
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


RULES: tuple[Rule, ...] = (
    _is_whole,
    _measures,
    _dimensions,
    _times,
    _segments,
    _filters,
    _tree,
    _multiplied,
    _grain,
    _windows,
    _ungrouped,
    _joined,
)
"""What must hold, in the order in which it is told."""
