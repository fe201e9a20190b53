"""Puts the caller's parameters into a saved query."""

from __future__ import annotations

from datetime import date
from typing import Any

from api.reports.definitions import placeholder

_ABSENT = object()
_FIRST_DAY = "1970-01-01"


def fill(node: Any, values: dict[str, Any], today: date) -> Any:
    """The query with values for placeholders; what lacks a value is left out (see `definitions`)."""
    filled = _fill(node, values, today)
    return {} if filled is _ABSENT else filled


def _fill(node: Any, values: dict[str, Any], today: date) -> Any:
    if isinstance(node, str):
        name = placeholder(node)
        return node if name is None else _ABSENT if values.get(name) is None else values[name]
    if isinstance(node, list):
        kept = [part for part in (_fill(part, values, today) for part in node) if part is not _ABSENT]
        return kept if kept or not node else _ABSENT
    if isinstance(node, dict):
        return _fill_object(node, values, today)
    return node


def _fill_object(node: dict[str, Any], values: dict[str, Any], today: date) -> Any:
    filled = {}
    for key, value in node.items():
        part = _date_range(value, values, today) if key == "dateRange" else _fill(value, values, today)
        if part is not _ABSENT:
            filled[key] = _as_text(part) if key == "values" else part
        elif key in {"values", "and", "or"}:
            return _ABSENT
    return filled


def _date_range(value: Any, values: dict[str, Any], today: date) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        return _fill(value, values, today)
    start, end = (_fill(part, values, today) for part in value)
    if start is _ABSENT and end is _ABSENT:
        return _ABSENT
    return [
        _FIRST_DAY if start is _ABSENT else _day(start),
        max(today, _as_date(start)).isoformat() if end is _ABSENT else _day(end),
    ]


def _as_date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])


def _day(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _as_text(part: Any) -> Any:
    """Filter values are texts in Cube's JSON."""
    if not isinstance(part, list):
        return part
    return [str(item).lower() if isinstance(item, bool) else item if item is None else _day(item) for item in part]
