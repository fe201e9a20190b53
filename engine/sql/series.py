"""Buckets by number: which one a moment lies in, where the n-th one starts, and in which windows a row counts.

Everything is wall time (a DateTime64(3, 'UTC') that reads as the clock on the wall does). A bucket's end is its last
millisecond. Numbers grow by one from bucket to bucket, so the buckets whose window holds a row are a range of numbers,
worked out from the row alone: no join of rows with buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any, Literal

from sqlglot import exp

from core.errors import InvalidQuery, Unanswerable
from engine.model.intervals import parse_interval, shift
from engine.model.stages import RollingWindow
from engine.model.terms import Granularity, Interval
from engine.query.bound import BoundFilter
from engine.query.request import Slot
from engine.sql.parameters import Parameters
from engine.sql.time import bucket_number, call, clamped, custom_start, number, parse_local, sent, text, utc

Ends = tuple[Slot | str, Slot | str]
"""A range: its first and its last local moment."""
MAX_BUCKETS = 50_000
"""More points than that no series may have."""
_EPOCH = datetime.fromisoformat("1970-01-01")
_MONDAY = datetime.fromisoformat("1970-01-05")
_SECOND = 1000
_DAY = 86_400 * _SECOND
_TICK = Interval(0, 1)
_SLACK = 3 * _DAY


@dataclass(frozen=True, slots=True)
class Grain:
    """Buckets of `interval` from `origin` on; `dated` ones start at midnight and are shown as Date32."""

    interval: Interval
    origin: datetime
    dated: bool

    @property
    def monthly(self) -> bool:
        """Whether the buckets are whole months."""
        return not self.interval.milliseconds

    @property
    def length(self) -> int:
        """At least as many milliseconds as a bucket has."""
        return int(self.interval.months * 31 * _DAY + self.interval.milliseconds)

    def start_of(self, moment: datetime) -> datetime | None:
        """The start of the bucket in which a moment lies; None where that takes more than a division."""
        if not self.interval.months:
            return moment - (moment - self.origin) % timedelta(milliseconds=self.interval.milliseconds)
        if self.interval.milliseconds or (self.origin.day, self.origin.time()) != (1, time()):
            return None
        return shift(self.origin, Interval(self.count_to(moment) * self.interval.months))

    def count_to(self, moment: datetime) -> int:
        """The number of the bucket in which a moment lies, if `start_of` knows where it starts."""
        if not self.interval.months:
            return (moment - self.origin) // timedelta(milliseconds=self.interval.milliseconds)
        since = (moment.year - self.origin.year) * 12 + moment.month - self.origin.month
        return since // self.interval.months

    def number_of(self, value: Slot | str, parameters: Parameters) -> exp.Expr:
        """The number of the bucket in which a local date or time of the question lies."""
        if self.start_of(_EPOCH) is None:
            return self.number(wall_parameter(value, parameters))
        return parameters.add(value, "Int64", partial(_counted, self))

    def first_of(self, moment: datetime) -> datetime:
        """No moment of that moment's bucket is before this one."""
        return self.start_of(moment) or _later(moment, -self.length)

    def end_of(self, moment: datetime) -> datetime:
        """No moment of that moment's bucket is after this one."""
        start = self.start_of(moment)
        return shift(start, self.interval) if start is not None else _later(moment, self.length)

    def end_after(self, start: datetime) -> datetime:
        """The end of the bucket that has this start; of another moment, that moment."""
        return shift(start, self.interval) if self.start_of(start) == start else start

    def number(self, moment: exp.Expr) -> exp.Expr:
        """The number of the bucket in which a moment lies."""
        return call("toInt64", bucket_number(moment, self.interval, self.origin))

    def start(self, index: exp.Expr) -> exp.Expr:
        """Where a bucket starts."""
        start = custom_start(index, self.interval, self.origin)
        return call("toDate32", start) if self.dated else start


def grain_of(granularity: str, custom: Granularity | None) -> Grain:
    """The buckets of a predefined granularity or of the model's own; Unanswerable for one that is made by SQL."""
    if custom is not None:
        if custom.interval is None or custom.origin is None:
            raise Unanswerable(f"The granularity '{custom.name}' is made by SQL: it has no regular buckets.")
        return Grain(custom.interval, datetime.fromisoformat(custom.origin), False)
    interval = parse_interval(f"1 {granularity}") or Interval(0, _SECOND)
    origin = _MONDAY if granularity == "week" else _EPOCH
    return Grain(interval, origin, interval.milliseconds == 0 or interval.milliseconds >= _DAY)


@dataclass(frozen=True, slots=True)
class Span:
    """A range whose number of buckets is bounded, checked when its literals are known."""

    first: Slot | str
    last: Slot | str
    grain: Grain

    def check(self, values: Sequence[Any]) -> None:
        """Unanswerable if the range has too many buckets."""
        first, last = (
            parse_local(values[each.index] if isinstance(each, Slot) else str(each)) for each in (self.first, self.last)
        )
        shortest = self.grain.interval.months * 28 * _DAY + self.grain.interval.milliseconds
        if (last - first).total_seconds() * 1000 / shortest > MAX_BUCKETS * 1.2:
            raise Unanswerable(
                f"The range has more than {MAX_BUCKETS:,} buckets.", hint="Ask for a shorter range or a coarser one."
            )


@dataclass(frozen=True, slots=True)
class Reach:
    """The first and last bucket for which a row counts; None where the series itself is the limit."""

    first: exp.Expr | None
    last: exp.Expr | None


def reach(window: RollingWindow, grain: Grain, moment: exp.Expr, to_date: Grain | None, here: exp.Expr) -> Reach:
    """The buckets whose window holds a row of that moment; `here` is its own."""
    if window.kind == "running":
        return Reach(here, None)
    if to_date is not None:
        following = custom_start(_plus_one(to_date.number(moment)), to_date.interval, to_date.origin)
        return Reach(here, grain.number(moved(following, Interval(0, -1), clamp=True)))
    return _around_start(window, grain, moment) if window.offset == "start" else _around_end(window, grain, moment)


def _around_end(window: RollingWindow, grain: Grain, moment: exp.Expr) -> Reach:
    """after end - trailing, up to end + leading; whole months are counted in whole months."""
    first: exp.Expr | None
    last: exp.Expr | None
    clamp = grain.monthly
    if window.leading == "unbounded":
        first = None
    else:
        first = grain.number(moved(moment, _negative(window.leading), clamp=clamp))
    if window.trailing == "unbounded":
        last = None
    else:
        last = _minus_one(grain.number(moved(moment, window.trailing or Interval(), clamp=clamp)))
    return Reach(first, last)


def _around_start(window: RollingWindow, grain: Grain, moment: exp.Expr) -> Reach:
    """from start - trailing, before start + leading."""
    after = moved(moment, _TICK, clamp=True)
    first: exp.Expr | None
    last: exp.Expr | None
    if window.leading == "unbounded":
        first = None
    else:
        first = _plus_one(grain.number(_back(moved(after.copy(), _negative(window.leading), clamp=False))))
    if window.trailing == "unbounded":
        last = None
    else:
        last = grain.number(_back(moved(after.copy(), window.trailing or Interval(), clamp=False)))
    return Reach(first, last)


def moved(moment: exp.Expr, by: Interval, *, clamp: bool) -> exp.Expr:
    """A moment plus an interval. Where the month reached lacks the day: `clamp` takes its last day; else the first
    moment after it, which is the first whose way back by the interval is not before `moment`."""
    result = moment.copy()
    if by.months:
        result = call("addMonths", result, number(by.months))
        if not clamp:
            same_day = exp.EQ(this=call("toDayOfMonth", result.copy()), expression=call("toDayOfMonth", moment.copy()))
            month = call("toDateTime64", call("toStartOfMonth", result.copy()), number(3), text("UTC"))
            result = call("if", same_day, result, call("addMonths", month, number(1)))
    if by.milliseconds:
        result = call("addMilliseconds", result, number(by.milliseconds))
    return result


def _back(moment: exp.Expr) -> exp.Expr:
    return call("addMilliseconds", moment, number(-1))


def _negative(interval: Interval | Literal["unbounded"] | None) -> Interval:
    known = interval if isinstance(interval, Interval) else Interval()
    return Interval(-known.months, -known.milliseconds)


def _plus_one(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Add(this=value, expression=number(1)))


def _minus_one(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Sub(this=value, expression=number(1)))


# --- the ends of the series, from the question's range -------------------------------------------------------------


def ends(range_: BoundFilter) -> Ends:
    """The first and the last local moment of a range."""
    first, last = range_.values[0], range_.values[-1]
    if first is None or last is None:
        raise InvalidQuery(f"The range of '{range_.member.full_name}' has no end.")
    return first, last


def wall_parameter(value: Slot | str, parameters: Parameters) -> exp.Expr:
    """A local date or time of the question as wall time."""
    return parameters.add(value, "DateTime64(3, 'UTC')", _wall)


def pruning(range_: Ends, column: exp.Expr, edges: Edges, zone: str, parameters: Parameters) -> list[exp.Expr]:
    """Conditions on the bare column: the rows that some window of the range holds, so that keys and partitions prune.

    Where intervals of months are involved, some days more."""
    found: list[exp.Expr] = []
    if edges.window.trailing != "unbounded":
        early = parameters.add(range_[0], "DateTime64(3, 'UTC')", partial(_utc_of, edges.earliest, zone, 0))
        found.append(exp.GTE(this=column.copy(), expression=_zoned(early, zone)))
    if edges.window.leading != "unbounded":
        late = parameters.add(range_[1], "DateTime64(3, 'UTC')", partial(_utc_of, edges.latest, zone, 1))
        found.append(exp.LT(this=column.copy(), expression=_zoned(late, zone)))
    return found


@dataclass(frozen=True, slots=True)
class Edges:
    """Which rows the windows of a series hold, in wall time; `hung` are the buckets whose ends are the first of all."""

    window: RollingWindow
    grain: Grain
    to_date: Grain | None
    hung: Grain

    def earliest(self, first: datetime) -> datetime:
        """No row before that counts in the bucket of `first` or a later one."""
        start = self.hung.first_of(first)
        if self.to_date is not None:
            return self.to_date.first_of(start)
        if self.window.kind == "running":
            return start
        edge = self.hung.end_after(start) if self.window.offset == "end" else start
        return _later(edge, -_longest(self.window.trailing))

    def latest(self, last: datetime) -> datetime:
        """No row from then on counts in the bucket of `last` or an earlier one."""
        fixed = self.window.kind == "fixed"
        if fixed and self.window.offset == "start":
            return _later(last, 1 + _longest(self.window.leading))
        end = self.grain.end_of(last)
        return _later(end, _longest(self.window.leading)) if fixed else end


def _longest(interval: Interval | Literal["unbounded"] | None) -> int:
    """At least as many milliseconds as the interval has; as many if it has no months."""
    if not isinstance(interval, Interval):
        return 0
    months = abs(interval.months) * 31 * _DAY + _SLACK if interval.months else 0
    return months + interval.milliseconds


def _later(moment: datetime, milliseconds: int) -> datetime:
    try:
        return moment + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return clamped(_EPOCH.replace(year=9999 if milliseconds > 0 else 1))


def single_window(
    window: RollingWindow, range_: Ends, moment: exp.Expr, to_date: Grain | None, parameters: Parameters
) -> list[exp.Expr]:
    """The condition on rows where the question has a range but no buckets: one window around the whole range."""
    first, last = range_
    if to_date is not None:
        start = to_date.number(wall_parameter(first, parameters))
        from_ = custom_start(start, to_date.interval, to_date.origin)
        return [_at_least(moment, from_), _before(moment, _ended(last, Interval(), parameters))]
    found: list[exp.Expr] = []
    end = window.offset == "end"
    if window.trailing != "unbounded":
        back = _negative(window.trailing)
        lower = _ended(last, back, parameters) if end else _begun(first, back, parameters)
        found.append(_at_least(moment, lower))
    if window.leading != "unbounded":
        on = window.leading or Interval()
        upper = _ended(last, on, parameters) if end else _begun(first, on, parameters)
        found.append(_before(moment, upper))
    return found


def _at_least(moment: exp.Expr, bound: exp.Expr) -> exp.Expr:
    return exp.GTE(this=moment.copy(), expression=bound)


def _before(moment: exp.Expr, bound: exp.Expr) -> exp.Expr:
    return exp.LT(this=moment.copy(), expression=bound)


def _begun(value: Slot | str, by: Interval, parameters: Parameters) -> exp.Expr:
    return parameters.add(value, "DateTime64(3, 'UTC')", partial(_shifted, by, False))


def _ended(value: Slot | str, by: Interval, parameters: Parameters) -> exp.Expr:
    """The first moment after the range's end, the end moved."""
    return parameters.add(value, "DateTime64(3, 'UTC')", partial(_shifted, by, True))


def _shifted(by: Interval, after: bool, value: str) -> str:
    moment = shift(clamped(parse_local(value)), by)
    return sent(clamped(shift(moment, _TICK) if after else moment))


def _wall(value: str) -> str:
    return sent(clamped(parse_local(value)))


def _counted(grain: Grain, value: str) -> int:
    return grain.count_to(clamped(parse_local(value)))


def _utc_of(edge: Callable[[datetime], datetime], zone: str, fold: int, value: str) -> str:
    return utc(edge(clamped(parse_local(value))), zone, fold)


def _zoned(parameter: exp.Expr, zone: str) -> exp.Expr:
    return parameter if zone == "UTC" else call("toTimeZone", parameter, text(zone))
