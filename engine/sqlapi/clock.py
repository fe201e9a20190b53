"""CURRENT_DATE, NOW(), intervals added to them and DATE_TRUNC of them → a wall time of the question's time zone.

NOW() is the beginning of the minute: who is told to wait asks again some seconds later, and must ask the same.
Days, months and years go by the calendar on the wall, hours and less by the clock, as in relative date ranges.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from engine.model.terms import PREDEFINED
from engine.query.dates import floor
from engine.query.moments import add
from engine.sqlapi.reading import refused

_NOW = (exp.CurrentTimestamp, exp.Localtimestamp)
_BUCKETS = (exp.TimestampTrunc, exp.DateTrunc)
_COUNT = re.compile(r"-?\d{1,6}", re.ASCII)
_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
_HINT = "Write CURRENT_DATE - INTERVAL '7 days': one number and one unit, from second to year."


def is_moment(node: exp.Expr) -> bool:
    """Whether an expression is made of the clock alone."""
    while isinstance(node, exp.Paren | exp.Add | exp.Sub | exp.TimestampTrunc | exp.DateTrunc):
        node = node.this
    return isinstance(node, (*_NOW, exp.CurrentDate))


def moment(node: exp.Expr, now: datetime) -> datetime:
    """The wall time that it names at the aware time `now`, whose zone is the question's; UnsupportedSql otherwise."""
    try:
        return _moment(node, now)
    except (ValueError, OverflowError):
        raise refused("The calendar has no such time.", node, _HINT) from None


def _moment(node: exp.Expr, now: datetime) -> datetime:
    local = now.replace(tzinfo=None)
    if isinstance(node, exp.Paren):
        return _moment(node.this, now)
    if isinstance(node, exp.CurrentDate):
        return floor(local, "day")
    if isinstance(node, _BUCKETS):
        return _floored(node, _moment(node.this, now))
    if not isinstance(node, exp.Add | exp.Sub):
        return floor(local, "minute")
    count, unit = _interval(node.expression)
    return _moved(_moment(node.this, now), now, unit, -count if isinstance(node, exp.Sub) else count)


def _floored(node: exp.Expr, local: datetime) -> datetime:
    unit = node.args["unit"].name.lower()
    if unit not in PREDEFINED:
        raise refused(
            f"There is no granularity '{unit[:50]}' of the clock.", node, f"There are {', '.join(PREDEFINED)}."
        )
    return floor(local, unit)


def _interval(node: exp.Expr) -> tuple[int, str]:
    unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
    name = unit.name.lower().removesuffix("s") if isinstance(unit, exp.Var) else ""
    if name not in _UNITS or not isinstance(node.this, exp.Literal) or not _COUNT.fullmatch(node.this.name):
        raise refused("This interval is not understood.", node, _HINT)
    return int(node.this.name), name


def _moved(local: datetime, now: datetime, unit: str, count: int) -> datetime:
    if unit not in ("second", "minute", "hour"):
        return add(local, unit, count)
    there = local.replace(tzinfo=now.tzinfo).astimezone(UTC) + timedelta(**{f"{unit}s": count})
    return there.astimezone(now.tzinfo).replace(tzinfo=None)
