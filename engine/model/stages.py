"""What a measure does with the grain, the time and the filters of its question: windows and stages, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.model.terms import Interval, Sql

FilterMode = Literal["relative", "fixed"]


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """The rows around a bucket that count for it; None is the bucket's own edge, `unbounded` has no edge at all.

    `running` begins at the start of the asked range and ends with the bucket.
    """

    kind: Literal["fixed", "to_date", "running"] = "fixed"
    trailing: Interval | Literal["unbounded"] | None = None
    leading: Interval | Literal["unbounded"] | None = None
    offset: Literal["start", "end"] = "end"
    granularity: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A semi-additive measure: of the rows in one bucket of a time dimension (and of one entity, `groups`), only
    those at the first or last moment count. Names are full names."""

    dimension: str
    choice: Literal["min", "max"]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeShift:
    """Rows count under their time plus `interval`; of one time dimension (full name), or of all that are asked.

    `name` picks a shift that a calendar cube declares; `next` says in which direction the model spelled it.
    """

    dimension: str | None
    interval: Interval | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class StageCondition:
    """A condition that a stage brings along; values are literals of the model."""

    member: str
    operator: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class StageGroup:
    """Conditions joined by `and` or `or`."""

    operator: Literal["and", "or"]
    filters: tuple[StageCondition | StageGroup, ...]


@dataclass(frozen=True, slots=True)
class StageFilter:
    """Which conditions of the question hold inside: `relative` to it (all but `exclude`, or only `keep`), or none
    (`fixed`); `include` is added. Names are full names."""

    mode: FilterMode = "relative"
    exclude: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    include: tuple[StageCondition | StageGroup, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A second aggregation: the inner one groups by the question's dimensions without `exclude` (or only by `keep`),
    and by `include` too. Names are full names, a granularity may follow."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    shifts: tuple[TimeShift, ...] = ()
    filter: StageFilter | None = None
    order: tuple[tuple[Sql, bool], ...] = ()
