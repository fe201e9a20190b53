"""Reads a report's parameters from an address: `?student_id=7&from=2026-09-01`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from api.fields import MAX_ID
from api.reports.definitions import RESERVED, Parameter, Report
from core.errors import InvalidField, nearest


def read_parameters(report: Report, given: Mapping[str, str]) -> dict[str, Any]:
    """Each parameter's value or None; raises `InvalidField` for a wrong, missing or unknown one."""
    known = {parameter.name: parameter for parameter in report.parameters}
    for name in given:
        if name not in known and name not in RESERVED:
            near = nearest(name, [*known, *RESERVED])
            raise InvalidField(f"{report.name} has no parameter «{name}».", field=name, nearest=near)
    return {name: _value(parameter, given.get(name)) for name, parameter in known.items()}


def _value(parameter: Parameter, text: str | None) -> Any:
    if text is None or text == "":
        if parameter.required:
            raise InvalidField(f"{parameter.name} is needed.", field=parameter.name)
        return parameter.default
    try:
        return _READERS[parameter.type](text)
    except ValueError:
        wanted = "a date such as 2026-09-01" if parameter.type == "date" else f"of type {parameter.type}"
        raise InvalidField(f"{parameter.name} must be {wanted}.", field=parameter.name) from None


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > MAX_ID:
        raise ValueError(text)
    return value


def _number(text: str) -> float:
    value = float(text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    return (
        {"true": True, "false": False, "1": True, "0": False}[text.lower()] if text.lower() in _WORDS else _fail(text)
    )


def _fail(text: str) -> bool:
    raise ValueError(text)


_WORDS = ("true", "false", "1", "0")
_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": date.fromisoformat,
    "string": str,
}
