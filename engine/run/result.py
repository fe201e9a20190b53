"""ClickHouse's columns as JSON values, and a query's answer in the three forms: rows, compact, columnar.

Numbers become texts (`"3"`, `"12.5"`), times are `YYYY-MM-DDTHH:mm:ss.SSS`, NaN and infinity become null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
from clickhouse_connect.driver.query import QueryResult

from engine.query.dates import format_time
from engine.query.normalisation import number_text
from engine.query.request import Query
from engine.sql.statement import Column

Json = dict[str, Any]
Value = Any
LARGE_CELLS = 5_000
_PIECE = 500


@dataclass(slots=True)
class Table:
    """The columns of an answer as JSON values, and when it was read; `encoded` keeps what was already written out."""

    columns: tuple[list[Value], ...]
    refreshed: datetime
    encoded: dict[Any, bytes] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.columns[0]) if self.columns else 0

    @property
    def size(self) -> int:
        """About how many bytes it takes, with its written form."""
        return 2_000 + 150 * self.rows * len(self.columns)


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one query. `constants` and `copies` are more columns: one value, or another column's values."""

    query: Query
    echo: Json
    members: tuple[Column, ...]
    table: Table
    annotation: Json
    total: int | None = None
    constants: tuple[tuple[str, str], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """The keys of a row: the members, `cube.time` for each `cube.time.granularity`, constants, copies."""
        return [name for name, _ in self._cells()]

    @property
    def is_large(self) -> bool:
        """Whether writing it out takes so long that others would wait: `data` then belongs on a thread."""
        return self.table.rows * len(self.table.columns) > LARGE_CELLS and self._key() not in self.table.encoded

    def rows(self) -> list[Json]:
        """The rows as objects."""
        names, columns = zip(*self._cells(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def data(self) -> orjson.Fragment:
        """The rows as JSON, in the form that the query asks for."""
        key = self._key()
        written = self.table.encoded.get(key)
        if written is None:
            written = self.table.encoded[key] = self._written()
        return orjson.Fragment(written)

    def _key(self) -> tuple[Any, ...]:
        return self.query.response_format, tuple(self.names), self.constants

    def _written(self) -> bytes:
        names, columns = zip(*self._cells(), strict=True)
        if self.query.response_format == "columnar":
            told = b",".join(_list(column) for column in columns)
            return b'{"members":%b,"columns":[%b]}' % (orjson.dumps(names), told)
        if self.query.response_format == "default":
            return _list(zip(*columns, strict=True), lambda row: dict(zip(names, row, strict=True)))
        return b'{"members":%b,"dataset":%b}' % (orjson.dumps(names), _list(zip(*columns, strict=True)))

    def _cells(self) -> list[tuple[str, list[Value]]]:
        cells = {column.member: values for column, values in zip(self.members, self.table.columns, strict=True)}
        for column in self.members:
            if column.granularity:
                cells.setdefault(column.member.rpartition(".")[0], cells[column.member])
        cells |= {name: [value] * self.table.rows for name, value in self.constants}
        cells |= {name: cells[member] for name, member in self.copies if member in cells}
        return list(cells.items())


def _list(values: Iterable[Value], form: Callable[[Any], Any] | None = None) -> bytes:
    """A JSON list, written piece by piece: other threads get a turn between two pieces."""
    each, pieces = iter(values), []
    while piece := list(islice(each, _PIECE)):
        pieces.append(orjson.dumps([form(value) for value in piece] if form else piece)[1:-1])
    return b"[%b]" % b",".join(pieces)


def read_table(result: QueryResult, columns: Sequence[Column], refreshed: datetime) -> Table:
    """The columns of ClickHouse's answer as JSON values."""
    given: Sequence[Any] = result.result_columns if result.row_count else [[] for _ in columns]
    kinds = [str(each.base_type) for each in result.column_types] or [""] * len(columns)
    read = (_converted(values, kind, column) for values, kind, column in zip(given, kinds, columns, strict=True))
    return Table(tuple(read), refreshed)


def _converted(values: Sequence[Any], kind: str, column: Column) -> list[Value]:
    if kind in _PLAIN:
        return list(values)
    if kind in _FLOATS:
        return _float_texts(values)
    convert = bool if column.type == "boolean" and kind.startswith(("Int", "UInt")) else _CONVERTERS.get(kind, _json)
    return [None if value is None else convert(value) for value in values]


def _float_texts(values: Sequence[float | None]) -> list[str | None]:
    """`_float` of each value; the common ones without a call, for answers of many rows."""
    texts: list[str | None] = []
    for value in values:
        text = repr(value)
        if text.endswith(".0") and value:
            texts.append(text[:-2])
        elif value and "e" not in text and "n" not in text:
            texts.append(text)
        else:
            texts.append(None if value is None else _float(value))
    return texts


def _float(value: float) -> str | None:
    return number_text(value) if math.isfinite(value) else None


def _decimal(value: Decimal) -> str | None:
    if not value.is_finite():
        return None
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _date(value: date) -> str:
    return f"{value.isoformat()[:10]}T00:00:00.000"


def _bytes(value: bytes | str) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace") if isinstance(value, bytes) else value


def _json(value: Any) -> Value:
    """Any value, by its Python type."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    for kind, convert in _BY_TYPE:
        if isinstance(value, kind):
            return convert(value)
    return str(value)


_PLAIN = frozenset({"String", "Bool", "Enum8", "Enum16", "Nothing"})
_FLOATS = frozenset({"Float32", "Float64", "BFloat16"})
_CONVERTERS: Mapping[str, Callable[[Any], Value]] = {
    **dict.fromkeys([f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)], str),
    **dict.fromkeys(["UUID", "IPv4", "IPv6"], str),
    "Decimal": _decimal,
    "Date": _date,
    "Date32": _date,
    "DateTime": format_time,
    "DateTime64": format_time,
    "FixedString": _bytes,
}
_BY_TYPE: Sequence[tuple[type | tuple[type, ...], Callable[[Any], Value]]] = (
    (int, str),
    (float, _float),
    (Decimal, _decimal),
    (datetime, format_time),
    (date, _date),
    (bytes, _bytes),
    ((UUID, IPv4Address, IPv6Address), str),
)
