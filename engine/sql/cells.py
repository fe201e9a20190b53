"""Cells: buckets of a plain unit, cheap for every row, at whose bounds all coarser arithmetic changes.

Windows, moved time, buckets of the model's own and hours of a zone need costly arithmetic. It gives the same for all
rows of a cell, so rows are grouped by cell first and the arithmetic is done for the groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlglot import exp

from engine.model.catalog import Dimension
from engine.model.columns import type_of
from engine.model.terms import Granularity, Interval
from engine.sql.series import Grain, grain_of, moved
from engine.sql.time import bucket, call, number, on_the_wall, text

if TYPE_CHECKING:
    from engine.sql.render import Renderer

MARK = "cell"
"""The key of a node's `meta` which says that rows are grouped by it before anything is computed from it."""
COARSE = ("month", "day", "hour")
"""The units of which a cell holds many rows."""
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000))
_STEPS = (3600, 1800, 900)
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
_LEAP = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Cell:
    """What rows are grouped by, and how wall time is made of that."""

    key: exp.Expr
    local: Callable[[exp.Expr], exp.Expr]


def cell_unit(grains: Sequence[Grain], lengths: Sequence[Interval]) -> str | None:
    """The coarsest plain unit at whose bounds every bucket and every length ends; None if finer than a minute."""
    intervals = [*lengths, *(grain.interval for grain in grains)]
    origins = [grain.origin for grain in grains]
    if not any(each.milliseconds for each in intervals) and all(_begins_month(origin) for origin in origins):
        return "month"
    for unit, length in _UNITS:
        whole = not any(each.milliseconds % length for each in intervals)
        if whole and all(_since_midnight(origin) % length == 0 for origin in origins):
            return unit
    return None


def cell(renderer: Renderer, dimension: Dimension, unit: str) -> Cell:
    """The cell of a row."""
    found = _stretch(renderer, dimension) if unit == "hour" else None
    if found is None:
        column = renderer.member(dimension.full_name)
        key, dated = bucket(column, renderer.zone, unit, None, type_of(renderer.catalog, column))
        found = Cell(key, _midnight if dated else _itself)
    found.key.meta[MARK] = True
    return found


def local_of(cell: Cell, key: exp.Expr, interval: Interval | None) -> exp.Expr:
    """The wall time of a cell, moved."""
    local = cell.local(key)
    return moved(local, interval, clamp=True) if interval is not None else local


def cell_of(renderer: Renderer, dimension: Dimension, granularity: str, custom: Granularity | None) -> exp.Expr | None:
    """The moved wall time of a row's cell, good for buckets of this size; None where a bucket is got as cheaply
    without, or no cell holds many rows."""
    interval = renderer.interval(dimension)
    if interval is None and custom is None and (granularity != "hour" or _stretch(renderer, dimension) is None):
        return None
    unit = cell_unit([grain_of(granularity, custom)], [interval] if interval is not None else [])
    if unit is None or (interval is None and unit not in COARSE):
        return None
    found = cell(renderer, dimension, unit)
    return local_of(found, found.key, interval)


def _midnight(key: exp.Expr) -> exp.Expr:
    return call("toDateTime64", key, number(3), text("UTC"))


def _itself(key: exp.Expr) -> exp.Expr:
    return key


def _stretch(renderer: Renderer, dimension: Dimension) -> Cell | None:
    """The stretch of time, counted from 1970, in which a moment lies: within it clocks of the zone are not changed and
    strike no hour. Before 1970, when clocks were set by the sun, each moment is a cell of its own."""
    column, zone = renderer.member(dimension.full_name), renderer.zone
    kind = type_of(renderer.catalog, column)
    step = _step(zone) if kind is not None else None
    if step is None or kind is None:
        return None
    if kind.name == "DateTime":
        since = call("toUnixTimestamp", column)
        return Cell(call("intDiv", since, number(step)), lambda key: _told(call("toInt64", key), step * 1000, zone))
    if kind.name != "DateTime64" or kind.precision > 3:
        return None
    since = call("toUnixTimestamp64Milli", column)
    rest = call("modulo", call("greatest", since.copy(), number(0)), number(step * 1000))
    return Cell(exp.Sub(this=since, expression=rest), lambda key: _told(key, 1, zone))


def _told(key: exp.Expr, length: int, zone: str) -> exp.Expr:
    """The wall time of a number of lengths since 1970."""
    since = exp.Mul(this=key, expression=number(length)) if length != 1 else key
    return on_the_wall(call("fromUnixTimestamp64Milli", since, text(zone)), zone)


@lru_cache(256)
def _step(zone: str) -> int | None:
    """The longest of the steps in seconds at which all clock changes since 1970 lie, by which all were; else None."""
    area = ZoneInfo(zone)
    now, offset = _FIRST, _offset(_FIRST, area)
    steps = [step for step in _STEPS if offset % step == 0]
    while now < _LAST and steps:
        following = now + _LEAP
        changed = _offset(following, area)
        if changed != offset:
            at = _change(now, following, area)
            steps = [step for step in steps if changed % step == 0 and at % step == 0]
        now, offset = following, changed
    return steps[0] if steps else None


def _change(before: datetime, after: datetime, area: ZoneInfo) -> int:
    """The second since 1970 at which the clock was changed."""
    old, low, high = _offset(before, area), int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), area) == old:
            low = middle
        else:
            high = middle
    return high


def _offset(moment: datetime, area: ZoneInfo) -> int:
    offset = moment.astimezone(area).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _begins_month(moment: datetime) -> bool:
    return moment.day == 1 and not _since_midnight(moment)


def _since_midnight(moment: datetime) -> int:
    """Milliseconds."""
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1000 + moment.microsecond // 1000
