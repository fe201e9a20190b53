"""Filters by Cube's rules, one value at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.engine.worlds.asks import Cond, Group, Tree, first_moment, last_moment
from tests.engine.worlds.clock import wall

_RANGES = ("inDateRange", "notInDateRange", "onTheDate")


def holds(tree: Tree, test: Callable[[Cond], bool]) -> bool:
    """Whether the tree is true."""
    if isinstance(tree, Group):
        results = [holds(part, test) for part in tree.parts]
        return all(results) if tree.operator == "and" else any(results)
    return test(tree)


def meets(cond: Cond, value: Any, kind: str, zone: str) -> bool:
    """Whether a value of a member of type `kind` meets the condition."""
    operator, null = cond.operator, None in cond.values
    if operator in ("set", "notSet"):
        return (value is not None) == (operator == "set")
    if isinstance(value, date):
        value = wall(value, zone)
    if operator in _RANGES or operator.endswith("Date"):
        return value is not None and _dated(operator, cond.values, value)
    wanted = [_read(text, kind, value) for text in cond.values if text is not None]
    if operator in ("equals", "in"):
        return value in wanted if value is not None else null
    if operator in ("notEquals", "notIn"):
        return value not in wanted if value is not None else not null
    if operator in ("gt", "gte", "lt", "lte"):
        return value is not None and _ordered(operator, value, wanted[0])
    negative = operator.startswith("not")
    if value is None:
        return null != negative
    how = operator.removeprefix("not").lower()
    return any(_like(how, _text(value), text) for text in cond.values if text is not None) != negative


def _dated(operator: str, values: tuple[Any, ...], value: datetime) -> bool:
    first, last = first_moment(values[0]), last_moment(values[-1])
    return {
        "inDateRange": first <= value <= last,
        "onTheDate": first <= value <= last,
        "notInDateRange": value < first or value > last,
        "beforeDate": value < first,
        "afterOrOnDate": value >= first,
        "beforeOrOnDate": value <= last_moment(values[0]),
        "afterDate": value > last_moment(values[0]),
    }[operator]


def _ordered(operator: str, value: Any, wanted: Any) -> bool:
    return bool({"gt": value > wanted, "gte": value >= wanted, "lt": value < wanted, "lte": value <= wanted}[operator])


def _read(text: str, kind: str, value: Any) -> Any:
    if kind == "number":
        return float(text) if isinstance(value, float) else Decimal(text)
    if kind == "boolean":
        return text in ("true", "1")
    return datetime.fromisoformat(text) if kind == "time" else text


def _like(how: str, value: str, part: str) -> bool:
    value, part = value.lower(), part.lower()
    return {"contains": part in value, "startswith": value.startswith(part), "endswith": value.endswith(part)}[how]


def _text(value: Any) -> str:
    return str(value)
