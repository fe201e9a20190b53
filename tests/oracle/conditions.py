"""Filters of a query as Python predicates, after the table of operators in Cube's REST format."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

Predicate = Callable[[Any], bool]
Getter = Callable[[Any], Any]
_LIKE: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startsWith": lambda text, part: text.startswith(part),
    "endsWith": lambda text, part: text.endswith(part),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}
_NEGATED = {
    "notEquals": "equals",
    "notIn": "equals",
    "notContains": "contains",
    "notStartsWith": "startsWith",
    "notEndsWith": "endsWith",
}
_MILLISECOND = timedelta(milliseconds=1)


def predicate(operator: str, values: list[Any], get: Getter, zone: tzinfo) -> Predicate:
    """Whether a row passes one condition; an unknown value passes no positive one."""
    if operator == "set":
        return lambda row: get(row) is not None
    if operator == "notSet":
        return lambda row: get(row) is None
    if operator in _NEGATED:
        return _negative(_NEGATED[operator], values, get, zone)
    if operator in _COMPARE:
        compare, bound = _COMPARE[operator], float(values[0])
        return lambda row: (value := get(row)) is not None and compare(value, bound)
    if operator in _RANGES:
        inside = _RANGES[operator]([datetime_of(value, zone) for value in values])
        return lambda row: (value := get(row)) is not None and inside(value)
    return _positive("equals" if operator == "in" else operator, values, get)


def _positive(operator: str, values: list[Any], get: Getter) -> Predicate:
    with_null, known = None in values, [value for value in values if value is not None]

    def test(row: Any) -> bool:
        value = get(row)
        if value is None:
            return with_null
        return any(_matches(operator, value, each) for each in known)

    return test


def _negative(operator: str, values: list[Any], get: Getter, zone: tzinfo) -> Predicate:
    with_null, known = None in values, [value for value in values if value is not None]

    def test(row: Any) -> bool:
        value = get(row)
        if value is None:
            return not with_null
        return not any(_matches(operator, value, each) for each in known)

    return test


def _matches(operator: str, value: Any, wanted: Any) -> bool:
    if operator in _LIKE:
        return _LIKE[operator](str(value).lower(), str(wanted).lower())
    if isinstance(value, bool):
        return str(value).lower() == str(wanted).lower()
    if isinstance(value, int | float):
        return value == float(wanted)
    return str(value) == str(wanted)


def datetime_of(text: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """The first and the last millisecond in UTC that a local date, or moment, stands for."""
    moment = datetime.fromisoformat(text)
    if len(text) > 10:
        exact = moment.replace(tzinfo=zone).astimezone(UTC)
        return exact, exact
    start = moment.replace(tzinfo=zone).astimezone(UTC)
    end = datetime.combine(moment.date(), time(23, 59, 59, 999000), zone).astimezone(UTC)
    return start, end


Bounds = list[tuple[datetime, datetime]]
_RANGES: dict[str, Callable[[Bounds], Callable[[datetime], bool]]] = {
    "inDateRange": lambda b: lambda value: b[0][0] <= value <= b[-1][1],
    "onTheDate": lambda b: lambda value: b[0][0] <= value <= b[-1][1],
    "notInDateRange": lambda b: lambda value: value < b[0][0] or value > b[-1][1],
    "beforeDate": lambda b: lambda value: value < b[0][0],
    "afterOrOnDate": lambda b: lambda value: value >= b[0][0],
    "beforeOrOnDate": lambda b: lambda value: value <= b[0][1],
    "afterDate": lambda b: lambda value: value > b[0][1],
}


def bucket(moment: datetime | None, granularity: str, zone: tzinfo) -> str | None:
    """The local start of the bucket, as the answer writes it."""
    if moment is None:
        return None
    local = moment.astimezone(zone).replace(tzinfo=None)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    starts: dict[str, Callable[[], datetime]] = {
        "second": lambda: local.replace(microsecond=0),
        "minute": lambda: local.replace(second=0, microsecond=0),
        "hour": lambda: local.replace(minute=0, second=0, microsecond=0),
        "day": lambda: day,
        "week": lambda: day - timedelta(days=day.weekday()),
        "month": lambda: day.replace(day=1),
        "quarter": lambda: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": lambda: day.replace(month=1, day=1),
        "school_year": lambda: day.replace(year=day.year - (day.month < 8), month=8, day=1),
    }
    return written(starts[granularity]())


def local_text(moment: datetime, zone: tzinfo) -> str:
    """A moment as the answer writes it: local, milliseconds, no zone."""
    return written(moment.astimezone(zone).replace(tzinfo=None))


def written(local: datetime) -> str:
    """`YYYY-MM-DDTHH:mm:ss.SSS`."""
    return local.isoformat(timespec="milliseconds")
