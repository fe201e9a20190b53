"""The words that the translation makes: names of helpers, SQL of date parts and quantiles, the calendars."""

from __future__ import annotations

import re
from typing import Any

Entry = dict[str, Any]
CALENDAR = "metric_time"
"""The cube of days that every fact is joined to by its own time."""
CLOCK = "metric_time_hour"
"""The same for hours."""
SPANS = {CALENDAR: ("2000-01-01", "2040-12-31"), CLOCK: ("2019-12-28 00:00:00", "2020-01-03 23:59:59")}
"""The first and the last moment of the time spines."""
DATE_PARTS = {
    "year": "toYear",
    "quarter": "toQuarter",
    "month": "toMonth",
    "day": "toDayOfMonth",
    "dow": "toDayOfWeek",
    "doy": "toDayOfYear",
}
PERIODS = ("hour", "day", "week", "month", "quarter", "year")
_OWN = re.compile(r"\{\w+\}\.(\w+)")
_SUB_DAILY = ("hour", "minute", "second", "millisecond", "microsecond", "nanosecond")


class Untranslatable(Exception):
    """MetricFlow can ask this and Cube's words cannot."""


def calendars() -> list[Entry]:
    """The calendar cubes; their own count makes every day a row."""
    day = {"name": "ds", "sql": "ds", "type": "time", "primary_key": True, "public": True}
    hour = {"name": "ts", "sql": "ts", "type": "time", "primary_key": True, "public": True}
    alien = {"name": "alien_day", "sql": "alien_day", "type": "time"}
    number = {"name": "day_number", "type": "number", "sql": "toYYYYMMDD(MAX({CUBE}.ds))"}
    points = [{"name": "points", "type": "count"}]
    return [
        {"name": CALENDAR, "sql_table": "mf_time_spine", "dimensions": [day, alien], "measures": [*points, number]},
        {"name": CLOCK, "sql_table": "mf_time_spine_hour", "dimensions": [hour], "measures": points},
    ]


def calendar_of(granularity: str | None) -> str:
    """The calendar as fine as a granularity, as its time dimension."""
    return f"{CLOCK}.ts" if granularity in _SUB_DAILY else f"{CALENDAR}.ds"


def quantile(measure: Entry) -> str:
    """The SQL of a percentile."""
    function = "quantileExactLow" if measure.get("use_discrete_percentile") else "quantileExactInclusive"
    function = "quantileTDigest" if measure.get("use_approximate_percentile") else function
    return f"{function}({measure['percentile']})({measure['sql']})"


def checked(window: str) -> str:
    """An offset in units of time."""
    if "alien" in window:
        raise Untranslatable("an offset by a calendar's own unit")
    return window


def later(window: str) -> str:
    """SQL that adds an interval of one or more parts to a time."""
    words = window.split()
    parts = zip(words[::2], words[1::2], strict=True)
    return "".join(f" + INTERVAL {count} {unit.removesuffix('s').upper()}" for count, unit in parts)


def first_of_period(window: Entry, period: str, unit: str) -> Entry:
    """The window of a period's first day (or hour)."""
    if window.get("type") == "to_date":
        if PERIODS.index(window["granularity"]) > PERIODS.index(period) or "week" in (window["granularity"], period):
            raise Untranslatable("a window to date that begins before the period")
        return {"trailing": "0 days", "leading": f"1 {unit}", "offset": "start"}
    trailing = window["trailing"]
    return {
        "trailing": trailing if trailing == "unbounded" else f"{trailing} -1 {unit}s",
        "leading": f"1 {unit}",
        "offset": "start",
    }


def at_the_edge(choice: str, time: str, partition: list[str]) -> str:
    """Whether a row stands at the first (min) or last (max) moment of its partition."""
    return f"{time} = {choice}({time}) OVER (PARTITION BY {', '.join(partition) or '1'})"


def column_of(sql: str) -> str:
    """The column behind a dimension that is nothing else."""
    found = _OWN.fullmatch(sql)
    if not found:
        raise Untranslatable(f"{sql} is not a column")
    return found.group(1)


def replaced(sql: str, names: dict[str, str]) -> str:
    """A formula with each input named by its measure."""
    if not names:
        return sql
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w.{{])({pattern})\b(?!\()", lambda found: f"{{{names[found.group(1)]}}}", sql)


def slug(text: str) -> str:
    """A part of a name."""
    return re.sub(r"\W+", "_", text).strip("_").lower()
