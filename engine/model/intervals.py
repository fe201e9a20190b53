"""Lengths of time as models write them: `3 months`, `1 day 12 hours`, `-6 months`."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta

from engine.model.terms import Interval

_PART = re.compile(r"\s*([-+]?\d{1,9})\s*(second|minute|hour|day|week|month|quarter|year)s?\s*", re.IGNORECASE)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
_PARENTS = {"month": 12, "quarter": 4, "hour": 24, "minute": 60, "second": 60, "week": 1, "day": 1}


def parse_interval(text: str) -> Interval | None:
    """The interval, None if the text is none; days are 24 hours of local wall time."""
    if len(text) > 200:
        return None
    position = months = seconds = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            return None
        count, unit = int(part.group(1)), part.group(2).lower()
        months += count * _MONTHS.get(unit, 0)
        seconds += count * _SECONDS.get(unit, 0)
        position = part.end()
    return Interval(months, seconds * 1000) if position else None


def is_length(interval: Interval) -> bool:
    """Whether it can be the size of a bucket: more than nothing in each part it has, a thousand years at most."""
    months, milliseconds = interval.months, interval.milliseconds
    return min(months, milliseconds) >= 0 and 0 < months * 2_678_400_000 + milliseconds <= 12_000 * 2_678_400_000


def fits_parent(text: str) -> bool:
    """Whether an interval without origin divides the next larger unit (years: any)."""
    parts = _PART.findall(text)
    if len(parts) != 1:
        return False
    count, unit = int(parts[0][0]), parts[0][1].lower()
    return count > 0 and (unit == "year" or _PARENTS[unit] % count == 0)


def shift(start: datetime, interval: Interval) -> datetime:
    """`start` moved by the interval; a day that the month does not have becomes its last one.

    OverflowError or ValueError beyond the years 1 to 9999.
    """
    months = start.year * 12 + start.month - 1 + interval.months
    year, month = months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day) + timedelta(milliseconds=interval.milliseconds)


def unshift(moment: datetime, interval: Interval) -> datetime:
    """The first moment that, moved by the interval, is not before `moment`."""
    moment -= timedelta(milliseconds=interval.milliseconds)
    back = shift(moment, Interval(-interval.months))
    if back.day == moment.day:
        return back
    first = back.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return shift(first, Interval(1))
