"""Cells: buckets of a plain unit, cheap for every row, at whose bounds all coarser arithmetic changes.

Windows and moved time need costly arithmetic. It gives the same for all rows of a cell, so rows are grouped by cell
first and the arithmetic is done for the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.model.catalog import Dimension
from engine.model.terms import Interval
from engine.sql.series import Grain, moved
from engine.sql.time import bucket, call, number, text

if TYPE_CHECKING:
    from engine.sql.render import Renderer

MARK = "cell"
"""The key of a node's `meta` which says that rows are grouped by it before anything is computed from it."""
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000))


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


def cell(renderer: Renderer, dimension: Dimension, unit: str) -> exp.Expr:
    """The cell of a row: a Date32 or wall time."""
    found = bucket(renderer.member(dimension.full_name), renderer.zone, unit, None)[0]
    found.meta[MARK] = True
    return found


def local_of(cell: exp.Expr, unit: str, interval: Interval | None) -> exp.Expr:
    """The wall time of a cell, moved."""
    local = call("toDateTime64", cell, number(3), text("UTC")) if unit in ("day", "month") else cell
    return moved(local, interval, clamp=True) if interval is not None else local


def cell_of(renderer: Renderer, dimension: Dimension, grains: Sequence[Grain]) -> exp.Expr | None:
    """The moved wall time of a row's cell, good for buckets of these grains; None where there is no plain unit."""
    interval = renderer.interval(dimension)
    unit = cell_unit(grains, [interval] if interval is not None else [])
    return local_of(cell(renderer, dimension, unit), unit, interval) if unit is not None else None


def _begins_month(moment: datetime) -> bool:
    return moment.day == 1 and not _since_midnight(moment)


def _since_midnight(moment: datetime) -> int:
    """Milliseconds."""
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1000 + moment.microsecond // 1000
