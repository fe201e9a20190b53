"""Rolling windows: the series of buckets, and which moments belong to the window of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from tests.engine.worlds.asks import Ask, Cond, Time
from tests.engine.worlds.clock import TICK, Custom, bucket, following, length, moved
from tests.engine.worlds.world import World

MOST = 3000
"""Points of a series; longer ones are not worked out in plain Python."""
_MEAN = {"second": 1 / 86_400, "minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 30.4, "quarter": 91.3}


class TooLong(Exception):
    """The series has more points than a test should walk."""


@dataclass(frozen=True)
class Bucket:
    """One point of a series: its start, and the start of the next."""

    start: datetime
    next: datetime


def series_time(world: World, ask: Ask) -> Time | None:
    """The first time dimension with a granularity (its finest), else the first with a range."""
    if not ask.buckets:
        return next((time for time in ask.times if time.span), None)
    first = ask.buckets[0]
    grains = world.cubes[first.member.cube].dims[first.member.name].granularities
    same = [time for time in ask.times if time.member == first.member]
    finest = min((time for time in same if time.grain), key=lambda time: _days(time.grain or "", grains))
    spans = [time.span for time in same if time.span]
    if len(set(spans)) > 1:
        raise TooLong("several ranges of one time")
    return replace(finest, span=spans[0] if spans else None)


def _days(grain: str, grains: dict[str, Custom]) -> float:
    if grain not in grains:
        return _MEAN.get(grain, 365.25)
    months, rest = length(grains[grain]["interval"])
    return months * 30.4 + rest / timedelta(days=1)


def without_range(ask: Ask, time: Time) -> Ask:
    """The question without the range of its time."""
    spans = {_text(each.span) for each in ask.times if each.span and each.member == time.member}
    where = tuple(
        tree
        for tree in ask.where
        if not (
            isinstance(tree, Cond)
            and tree.member == time.member
            and tree.operator == "inDateRange"
            and tree.values in spans
        )
    )
    return replace(ask, where=where)


def _text(span: tuple[datetime, datetime]) -> tuple[str | None, ...]:
    return span[0].isoformat(timespec="milliseconds"), span[1].isoformat(timespec="milliseconds")


def series(moments: list[datetime], time: Time, grains: dict[str, Custom], beside: set[str]) -> list[Bucket]:
    """All buckets from the first to the last moment of the range, or of the rows; a week ends where a bucket of a
    longer period `beside` it does."""
    if time.grain is None:
        assert time.span is not None
        return [Bucket(time.span[0], time.span[1] + TICK)]
    if time.span is None and not moments:
        return []
    custom = grains.get(time.grain)
    first, last = time.span or (min(moments), max(moments))
    if (last - first) / timedelta(days=_days(time.grain, grains)) > MOST:
        raise TooLong(time)
    found: list[Bucket] = []
    start = bucket(first, time.grain, custom)
    while start <= last:
        end = following(start, time.grain, custom)
        edges = _edges(start, end, beside) if time.grain == "week" and custom is None else []
        found += [Bucket(*pair) for pair in pairwise([start, *edges, end])]
        start = end
    return [point for point in found if point.next > first and point.start <= last]


def _edges(start: datetime, end: datetime, grains: set[str]) -> list[datetime]:
    """Where buckets of longer periods begin within."""
    begun = {bucket(end - TICK, grain, None) for grain in grains & {"month", "quarter", "year"}}
    return sorted(each for each in begun if each > start)


def frame(
    window: dict[str, str], point: Bucket, grain: str | None, custom: Custom | None
) -> Callable[[datetime], bool]:
    """Whether a moment is in the window of the point."""
    last = point.next - TICK
    if window.get("type") == "to_date":
        first = bucket(point.start, window["granularity"], None)
        return lambda moment: first <= moment <= last
    trailing, leading = window.get("trailing", "0 day"), window.get("leading", "0 day")
    if window.get("offset") == "start":
        low, high = _back(point.start, trailing), _forth(point.start, leading)
        return lambda moment: (low is None or moment >= low) and (high is None or moment < high)
    if _of_months(trailing, leading) and _whole_months(grain, custom):
        low, high = _back(point.next, trailing), _forth(point.next, leading)
        return lambda moment: (low is None or moment >= low) and (high is None or moment < high)
    low, high = _back(last, trailing), _forth(last, leading)
    return lambda moment: (low is None or moment > low) and (high is None or moment <= high)


def _of_months(*lengths: str) -> bool:
    return any(length(each)[0] for each in lengths if each != "unbounded")


def _whole_months(grain: str | None, custom: Custom | None) -> bool:
    if custom is not None:
        months, rest = length(custom["interval"])
        return months > 0 and not rest
    return grain in ("month", "quarter", "year")


def _back(moment: datetime, by: str) -> datetime | None:
    return None if by == "unbounded" else moved(moment, length(by), -1)


def _forth(moment: datetime, by: str) -> datetime | None:
    return None if by == "unbounded" else moved(moment, length(by))
