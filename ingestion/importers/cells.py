"""Text of a cell → a value of its column's kind, remembered, since most cells come again and again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import orjson

from core.addresses import canonical
from core.errors import nearest
from ingestion.importers.tables import LONG_AGO, Column

_LAST = datetime(2262, 1, 1, tzinfo=UTC)
_FLAGS = {"1": True, "true": True, "t": True, "yes": True, "0": False, "false": False, "f": False, "no": False}


class BadCell(ValueError):
    """A cell whose text cannot be taken; its message is the reason."""


class Memo(dict[str, Any]):
    """The values of one column's cells; forgets all when `room` is full, so that it never grows without a bound."""

    def __init__(self, parse: Callable[[str], Any], room: int) -> None:
        super().__init__()
        self._parse = parse
        self._room = room

    def __missing__(self, cell: str) -> Any:
        if len(self) >= self._room:
            self.clear()
        value = self[cell] = self._parse(cell)
        return value


class Unique(Memo):
    """The cells of a column that never shows a text twice: nothing is worth remembering."""

    def __getitem__(self, cell: str) -> Any:
        return self._parse(cell)


def parser(column: Column) -> Memo:
    """The reader of a column's cells; raises `BadCell`."""
    read = _READERS[column.kind]

    def parse(cell: str) -> Any:
        if cell == "":
            if column.required:
                raise BadCell("is empty")
            return column.default
        return read(column, cell)

    if column.kind == "key" and not column.refers:
        return Unique(parse, 0)
    return Memo(parse, 4096 if column.kind in ("text", "object", "options") else 65536)


def absent(column: Column) -> Memo:
    """The reader of a column that the file does not have: any cell means the default."""
    return Memo(lambda _: column.default, 1)


def _text(column: Column, cell: str) -> str:
    if len(cell) > column.limit:
        raise BadCell(f"is longer than {column.limit} characters")
    return cell


def _integer(column: Column, cell: str) -> int:
    try:
        value = int(cell)
    except ValueError:
        value = _whole(cell)
    if column.least is not None and value < column.least:
        raise BadCell(f"must be {column.least:g} or more")
    if value > column.most:
        raise BadCell(f"must be {column.most:.0f} or less")
    return value


def _whole(cell: str) -> int:
    """Spreadsheets write 3 as 3.0."""
    try:
        return int(cell.removesuffix(".0"))
    except ValueError:
        raise BadCell("is not a whole number") from None


def _number(column: Column, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise BadCell("is not a number") from None
    if not math.isfinite(value) or "_" in cell:
        raise BadCell("is not a number")
    if column.least is not None and value < column.least:
        raise BadCell("is negative" if column.least == 0 else "must be more than 0")
    if value > column.most:
        raise BadCell(f"must be {column.most:.0f} or less")
    return value


def _flag(_: Column, cell: str) -> bool:
    try:
        return _FLAGS[cell.lower()]
    except KeyError:
        raise BadCell("is neither 0 nor 1") from None


def _moment(_: Column, cell: str) -> datetime:
    try:
        value = datetime.fromisoformat(cell)
    except ValueError:
        raise BadCell("is not a time (like 2026-03-01T09:30:00Z)") from None
    if value.tzinfo is None:
        raise BadCell("has no time zone (end it with Z or +01:00)")
    if not LONG_AGO <= value < _LAST:
        raise BadCell("lies outside the years 1970 to 2261")
    return value.astimezone(UTC)


def _json(cell: str) -> Any:
    if "\\u0000" in cell:
        raise BadCell("holds a NUL character")
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError as error:
        raise BadCell(f"is not JSON: {error.msg}") from None


def _object(_: Column, cell: str) -> str:
    if not isinstance(_json(cell), dict):
        raise BadCell("is not a JSON object")
    return cell


def _options(_: Column, cell: str) -> str:
    """`["A", "B"]` becomes `[{"key": "A", "text": "A"}, …]`; objects with a key stay."""
    values = _json(cell)
    if not isinstance(values, list):
        raise BadCell("is not a JSON list")
    return json.dumps([_option(value) for value in values], ensure_ascii=False)


def _option(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"key": value, "text": value}
    if isinstance(value, dict) and isinstance(value.get("key"), str):
        return value
    raise BadCell('holds an option that is neither a text nor {"key": …, "text": …}')


def _texts(_: Column, cell: str) -> tuple[str, ...]:
    values = _json(cell)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadCell("is not a JSON list of texts")
    return tuple(values)


def _choice(column: Column, cell: str) -> str:
    if cell in column.choices:
        return cell
    raise BadCell(f"is not one of {', '.join(column.choices)}")


def _zone(_: Column, cell: str) -> str:
    if cell in available_timezones():
        return cell
    near = nearest(cell, sorted(available_timezones()), 1)
    raise BadCell("is not a time zone" + (f"; did you mean {near[0]}?" if near else ""))


def _address(_: Column, cell: str) -> str:
    try:
        return canonical(cell)
    except ValueError:
        raise BadCell("is not an e-mail address") from None


_READERS: dict[str, Callable[[Column, str], Any]] = {
    "key": _text,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "flag": _flag,
    "moment": _moment,
    "object": _object,
    "options": _options,
    "texts": _texts,
    "choice": _choice,
    "zone": _zone,
    "address": _address,
}
