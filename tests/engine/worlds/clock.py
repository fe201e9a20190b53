"""Wall time to the millisecond, buckets, intervals; months clamp (31 March - 1 month = 28 February)."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

TICK = timedelta(milliseconds=1)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
FINENESS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
Length = tuple[int, timedelta]
Custom = dict[str, str]
"""`interval` and perhaps `origin` or `offset`."""


def wall(moment: datetime | date, zone: str) -> datetime:
    """What the clock on the wall shows; a date is its midnight anywhere, what has no zone is wall time already."""
    if not isinstance(moment, datetime):
        return datetime.fromisoformat(moment.isoformat())
    local = moment if moment.tzinfo is None else moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    return local.replace(microsecond=local.microsecond // 1000 * 1000)


def shown(local: datetime | None) -> str | None:
    """The form of answers."""
    return None if local is None else local.isoformat(timespec="milliseconds")


def length(text: str) -> Length:
    """`1 month 2 days` → months and the rest."""
    words = text.split()
    months, rest = 0, timedelta()
    for count, unit in zip(words[::2], words[1::2], strict=True):
        unit = unit.removesuffix("s")
        months += int(count) * _MONTHS.get(unit, 0)
        rest += int(count) * timedelta(seconds=_SECONDS.get(unit, 0))
    return months, rest


def moved(local: datetime, by: Length, times: int = 1) -> datetime:
    """`times` lengths later."""
    number = local.year * 12 + local.month - 1 + by[0] * times
    year, month = divmod(number, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day) + by[1] * times


def bucket(local: datetime, grain: str, custom: Custom | None) -> datetime:
    """The start of the bucket."""
    if custom is not None:
        return origin(custom, local)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "second": local.replace(microsecond=0),
        "minute": local.replace(second=0, microsecond=0),
        "hour": local.replace(minute=0, second=0, microsecond=0),
        "day": midnight,
        "week": midnight - timedelta(days=midnight.weekday()),
        "month": midnight.replace(day=1),
        "quarter": midnight.replace(day=1, month=(midnight.month - 1) // 3 * 3 + 1),
        "year": midnight.replace(day=1, month=1),
    }
    return starts[grain]


def origin(custom: Custom, local: datetime) -> datetime:
    """The last `origin + k · interval` that is not after `local`."""
    by = length(custom["interval"])
    start = datetime.fromisoformat(custom.get("origin", "2024-01-01"))
    if "offset" in custom:
        start = moved(start, length(custom["offset"]))
    k = int((local - start) / (timedelta(days=30.436875) * by[0] + by[1]))
    while moved(start, by, k) > local:
        k -= 1
    while moved(start, by, k + 1) <= local:
        k += 1
    return moved(start, by, k)


def following(start: datetime, grain: str, custom: Custom | None) -> datetime:
    """The start of the next bucket."""
    if custom is None:
        return moved(start, length(f"1 {grain}"))
    by = length(custom["interval"])
    guess = moved(start, by) - TICK
    while bucket(guess, grain, custom) == start:
        guess += timedelta(days=1) if by[0] else by[1]
    return bucket(guess, grain, custom)
