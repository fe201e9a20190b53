"""Points of a series asked in weeks and in months (or quarters, years) at once: what a week and a month have in common.

Weeks do not end where months do, so a window belongs to the days that all buckets of a group share:

| week       | month      | days of the point      |
|------------|------------|------------------------|
| 2024-01-29 | 2024-01-01 | 2024-01-29 … 2024-01-31 |
| 2024-01-29 | 2024-02-01 | 2024-02-01 … 2024-02-04 |

A point is numbered by its first day, or by its last where windows hang on the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlglot import exp

from engine.model.stages import RollingWindow
from engine.query.bound import BoundDimension
from engine.query.request import Slot
from engine.sql.parameters import Parameters
from engine.sql.series import Grain, grain_of
from engine.sql.time import call, clamped, number, parse_local, text

DAY = grain_of("day", None)
_LONGER = {"month", "quarter", "year"}


@dataclass(frozen=True, slots=True)
class Overlap:
    """The days that buckets of several grains share, numbered by the first or the last of them."""

    grains: tuple[Grain, ...]
    last: bool

    def number(self, moment: exp.Expr) -> exp.Expr:
        """The number of the point in which a moment lies."""
        days = [self._edge(grain, moment) for grain in self.grains]
        return call("least" if self.last else "greatest", *days)

    def _edge(self, grain: Grain, moment: exp.Expr) -> exp.Expr:
        index = grain.number(moment.copy())
        if not self.last:
            return _day(grain.start(index))
        following = _day(grain.start(exp.Paren(this=exp.Add(this=index, expression=number(1)))))
        return exp.Paren(this=exp.Sub(this=following, expression=number(1)))

    def number_of(self, value: Slot | str, parameters: Parameters) -> exp.Expr:
        """The number of the point in which a local date or time of the question lies."""
        return parameters.add(value, "Int64", partial(_counted, self))

    def holds(self, day: exp.Expr) -> exp.Expr:
        """Whether the number of a day is that of a point."""
        return exp.EQ(this=self.number(wall_of(day)), expression=day.copy())


def overlap_of(window: RollingWindow, dimensions: Sequence[BoundDimension]) -> Overlap | None:
    """None where one bucket ends where the others do."""
    names = {each.granularity for each in dimensions if each.custom is None}
    if any(each.custom is not None for each in dimensions) or names & {"day", "hour", "minute", "second"}:
        return None
    if "week" not in names or not names & _LONGER:
        return None
    grains = tuple(grain_of(name, None) for name in sorted(filter(None, names)))
    return Overlap(grains, window.kind == "fixed" and window.offset == "end")


def wall_of(day: exp.Expr) -> exp.Expr:
    """The midnight with which a day begins, by the day's number."""
    return call("toDateTime64", DAY.start(day.copy()), number(3), text("UTC"))


def _day(date: exp.Expr) -> exp.Expr:
    return call("toInt64", call("toInt32", date))


def _counted(overlap: Overlap, value: str) -> int:
    moment = clamped(parse_local(value))
    if overlap.last:
        return min(DAY.count_to(grain.end_of(moment)) - 1 for grain in overlap.grains)
    return max(DAY.count_to(grain.first_of(moment)) for grain in overlap.grains)
