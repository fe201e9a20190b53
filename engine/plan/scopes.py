"""Which rows a measure counts: the question's conditions, changed by stages, shifts and windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.errors import AccessDenied, InvalidQuery, Unanswerable
from engine.model.catalog import Dimension, Measure, Segment
from engine.model.stages import RollingWindow, Stage, StageCondition, StageFilter, StageGroup, TimeShift
from engine.model.terms import Interval
from engine.plan.nodes import Scope, Shift
from engine.query.bound import BoundFilter, BoundGroup, BoundQuery, BoundSegment, BoundTree, name_of


def rolled(bound: BoundQuery, scope: Scope, window: RollingWindow) -> Scope:
    """The window along the question's time, whose range then is no condition on rows; nothing where there is none."""
    time = bound.time
    if time is None or bound.ungrouped:
        return scope
    if time.dimension.full_name in bound.masks:
        name = time.dimension.full_name
        raise AccessDenied(f"'{name}' is masked for you; nothing can roll along it.", member=name)
    grouped = any(each.dimension is time.dimension and each.granularity for each in bound.dimensions)
    if not grouped and (time.range is None or window.kind == "running"):
        return scope
    return replace(scope, window=window, where=tuple(tree for tree in scope.where if tree != time.range))


def staged_scope(bound: BoundQuery, scope: Scope, stage: Stage) -> Scope:
    """The scope inside a stage: its filter applied, its shifts added.

    A stage may name one dimension twice, by its cube and by a view: the same shift of it counts once.
    """
    if stage.filter is not None:
        scope = replace(scope, where=_filtered(bound, scope.where, stage.filter))
    shifts = dict(scope.shifts)
    moved = ((each, dimension) for each in stage.shifts for dimension in _shifted(bound, scope, each))
    for name, shift in dict.fromkeys((dimension.full_name, _shift(dimension, each)) for each, dimension in moved):
        known = shifts.get(name)
        shifts[name] = _added(known, shift) if known else shift
    return replace(scope, shifts=tuple(sorted(shifts.items(), key=lambda pair: pair[0])))


def _shifted(bound: BoundQuery, scope: Scope, shift: TimeShift) -> list[Dimension]:
    """The time dimensions that a shift moves: the one that it names, or all that the question uses."""
    if shift.dimension is not None:
        named = bound.catalog.primitive(shift.dimension)
        if not isinstance(named, Dimension) or named.type != "time":
            raise Unanswerable(f"A time shift names '{shift.dimension}', which is no time dimension.")
        return [named]
    found = {each.dimension.full_name: each.dimension for each in bound.dimensions if each.dimension.type == "time"}
    for leaf in _leaves(scope.where):
        if isinstance(leaf, BoundFilter) and isinstance(leaf.member, Dimension) and leaf.member.type == "time":
            found[leaf.member.full_name] = leaf.member
    if shift.name is not None:
        found = {name: each for name, each in found.items() if any(known.name == shift.name for known in each.shifts)}
    return list(found.values())


def _shift(dimension: Dimension, shift: TimeShift) -> Shift:
    for index, own in enumerate(dimension.shifts):
        named = shift.name is not None and own.name == shift.name
        if named or (shift.name is None and own.interval is not None and own.interval == shift.interval):
            return Shift(None, index) if own.sql is not None else Shift(own.interval)
    if shift.name is not None:
        raise Unanswerable(f"'{dimension.full_name}' declares no time shift '{shift.name}'.")
    return Shift(shift.interval)


def _added(known: Shift, more: Shift) -> Shift:
    if known.interval is None or more.interval is None:
        raise Unanswerable("A calendar's own shift cannot be combined with another one.")
    return Shift(
        Interval(known.interval.months + more.interval.months, known.interval.milliseconds + more.interval.milliseconds)
    )


def _filtered(bound: BoundQuery, where: tuple[BoundTree, ...], rule: StageFilter) -> tuple[BoundTree, ...]:
    kept: Iterable[BoundTree | None] = ()
    if rule.mode == "relative":
        kept = (_pruned(tree, rule) for tree in where)
    return (*(tree for tree in kept if tree is not None), *(_bound(bound, each) for each in rule.include))


def _pruned(tree: BoundTree, rule: StageFilter) -> BoundTree | None:
    """The condition without the members that the stage leaves out; None if nothing remains."""
    if isinstance(tree, BoundGroup):
        inner = [each for each in (_pruned(each, rule) for each in tree.filters) if each is not None]
        return BoundGroup(tree.operator, tuple(inner)) if inner or not tree.filters else None
    name = name_of(tree)
    kept = name in rule.keep if rule.keep is not None else name not in rule.exclude
    return tree if kept else None


def _bound(bound: BoundQuery, node: StageCondition | StageGroup) -> BoundTree:
    if isinstance(node, StageGroup):
        return BoundGroup(node.operator, tuple(_bound(bound, each) for each in node.filters))
    member = bound.catalog.primitive(node.member)
    if isinstance(member, Segment):
        return BoundSegment((member.cube,), member)
    if isinstance(member, Measure):
        raise InvalidQuery(f"A stage filters by '{node.member}'; it can filter rows only, by dimensions.")
    return BoundFilter((member.cube,), member, node.operator, node.values)


def _leaves(where: Iterable[BoundTree]) -> Iterable[BoundFilter | BoundSegment]:
    for tree in where:
        if isinstance(tree, BoundGroup):
            yield from _leaves(tree.filters)
        else:
            yield tree
