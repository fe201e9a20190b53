"""Which buckets of time are made of which others, and whether a moment is the edge of a bucket."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.model.terms import Granularity, Interval
from engine.query.dates import floor

FINER = {
    "year": ("year", "quarter", "month", "day", "hour", "minute", "second"),
    "quarter": ("quarter", "month", "day", "hour", "minute", "second"),
    "month": ("month", "day", "hour", "minute", "second"),
    "week": ("week", "day", "hour", "minute", "second"),
    "day": ("day", "hour", "minute", "second"),
    "hour": ("hour", "minute", "second"),
    "minute": ("minute", "second"),
    "second": ("second",),
}
"""Each predefined granularity and those whose buckets it is made of; a month is not made of weeks."""
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_MILLISECONDS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
_TICK = timedelta(milliseconds=1)
_LAST = datetime.fromisoformat("9999-12-31T23:59:59.998")


def is_made_of(wanted: str, custom: Granularity | None, kept: str) -> bool:
    """Whether each bucket of `wanted` (`custom` where the model defines it) is made of whole buckets of `kept`."""
    if custom is None:
        return kept in FINER.get(wanted, ())
    if kept == wanted:
        return True
    if custom.interval is None or custom.origin is None or kept not in FINER:
        return False
    return is_multiple(custom.interval, kept) and is_edge(datetime.fromisoformat(custom.origin), kept)


def is_multiple(interval: Interval, kept: str) -> bool:
    """Whether steps of `interval` from an edge of a predefined granularity lead to edges again."""
    if kept in _MONTHS:
        return interval.milliseconds == 0 and interval.months % _MONTHS[kept] == 0
    if kept == "week":
        return interval.months == 0 and interval.milliseconds % _MILLISECONDS["week"] == 0
    return interval.milliseconds % _MILLISECONDS[kept] == 0


def is_edge(moment: datetime, granularity: str) -> bool:
    """Whether a bucket of a predefined granularity begins at that local time."""
    return floor(moment, granularity) == moment


def begins(text: str, granularity: str) -> bool:
    """Whether a range from that local time on begins with a whole bucket."""
    return is_edge(datetime.fromisoformat(text), granularity)


def ends(text: str, granularity: str) -> bool:
    """Whether a range up to that local time, included, ends with a whole bucket."""
    last = datetime.fromisoformat(text)
    return last > _LAST or is_edge(last + _TICK, granularity)
