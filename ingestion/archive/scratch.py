"""Rows on their way: a table in ClickHouse that takes COPY text or a Parquet file, sums itself up, and gives both.

ClickHouse reads and writes the Parquet, in process or on its server; files pass through us as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from clickhouse_connect.driver.client import Client

from core.errors import BadInput
from core.warehouse import Warehouse
from ingestion.archive.layout import Layout
from ingestion.batches import Damaged

_PIECE_BYTES = 8_000_000
_WHOLE = {"async_insert": 0, "input_format_parallel_parsing": 0, "precise_float_parsing": 1}
_LINES = {**_WHOLE, "input_format_tsv_detect_header": 0, "min_insert_block_size_rows": 1_000_000}
_PARQUET = {
    "output_format_parquet_compression_method": "zstd",
    "output_format_parquet_row_group_size": 100_000,
    "output_format_parquet_string_as_string": 1,
}


@dataclass(frozen=True, slots=True)
class Sums:
    """What a set of rows is known by: equal sums, equal rows. The moments are for people and for pruning."""

    rows: int = 0
    fingerprint: int = 0
    digest: int = 0
    first_at: datetime | None = field(default=None, compare=False)
    last_at: datetime | None = field(default=None, compare=False)

    def with_(self, other: Sums) -> Sums:
        """Of both sets together (they share no row)."""
        firsts = [moment for moment in (self.first_at, other.first_at) if moment]
        lasts = [moment for moment in (self.last_at, other.last_at) if moment]
        return Sums(
            self.rows + other.rows,
            self.fingerprint ^ other.fingerprint,
            self.digest ^ other.digest,
            min(firsts, default=None),
            max(lasts, default=None),
        )


class Scratch:
    """One such table, for one layout; a large one lies on disk."""

    def __init__(self, warehouse: Warehouse, layout: Layout, name: str, *, large: bool = False) -> None:
        self.warehouse = warehouse
        self.layout = layout
        self.name = name
        self._large = large

    def empty(self) -> None:
        """Make it anew."""
        fact = self.layout.fact
        self.drop()
        order = f"ORDER BY (school_id, {fact.person}, {fact.key}) SETTINGS allow_nullable_key = 1"
        engine = f"MergeTree {order}" if self._large else "Memory"
        self._command(f"CREATE TABLE {self.name} ({self.layout.structure()}) ENGINE = {engine}")

    def drop(self) -> None:
        """Take it away."""
        self._command(f"DROP TABLE IF EXISTS {self.name} SYNC")

    def fill(self, lines: Iterable[bytes | bytearray | memoryview]) -> None:
        """Take lines of COPY text, some megabytes at a time."""
        for piece in _pieces(lines):
            self._insert(piece, "TabSeparated", _LINES)

    def take(self, path: str, content: bytes) -> None:
        """Take a Parquet file; raises `Damaged` when it cannot be read."""
        try:
            self._insert(content, "Parquet", _WHOLE)
        except BadInput as error:
            raise Damaged(f"The archive's file {path} cannot be read.", path=path, cause=error.message[:300]) from error

    def sums(self, where: str = "1", parameters: Mapping[str, Any] | None = None) -> dict[int, Sums]:
        """The sums of each school's rows."""
        query = f"SELECT school_id, {self.layout.warehouse_sums()} FROM {self.name} WHERE {where} GROUP BY school_id"
        return {row[0]: _sums(row[1:]) for row in self.rows(query, parameters)}

    def parquet(self, where: str, parameters: Mapping[str, Any]) -> bytes:
        """Some of its rows as a Parquet file, a person's rows together."""
        fact, names = self.layout.fact, ", ".join(f"`{name}`" for name in self.layout.names)
        query = f"SELECT {names} FROM {self.name} WHERE {where} ORDER BY {fact.person}, {fact.key}"
        found = self.warehouse.call(
            lambda client: client.raw_query(query, dict(parameters), settings=_PARQUET, fmt="Parquet")
        )
        return bytes(found)

    def text(self, columns: Iterable[str], instead: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """Its rows as COPY text; `instead` gives some columns another value."""
        query = f"SELECT {', '.join(instead.get(name, f'`{name}`') for name in columns)} FROM {self.name}"
        found = self.warehouse.call(lambda client: client.raw_query(query, fmt="TabSeparated"))
        return bytes(found)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of one SELECT."""
        found = self.warehouse.call(lambda client: client.query(query, parameters=dict(parameters or {})))
        return list(found.result_rows)

    def _insert(self, content: bytes, form: str, settings: dict[str, Any]) -> None:
        def insert(client: Client) -> None:
            client.raw_insert(self.name, self.layout.names, content, settings=settings, fmt=form)

        self.warehouse.call(insert)

    def _command(self, statement: str) -> None:
        self.warehouse.call(lambda client: client.command(statement))


@contextmanager
def scratch(warehouse: Warehouse, layout: Layout, name: str, *, large: bool = False) -> Iterator[Scratch]:
    """An empty one, gone at the end; what a killed run left is emptied first. Large: a month instead of a file."""
    table = Scratch(warehouse, layout, f"archive_{name}", large=large)
    table.empty()
    try:
        yield table
    finally:
        table.drop()


def total(sums: Iterable[Sums]) -> Sums:
    """Of all sets together."""
    whole = Sums()
    for each in sums:
        whole = whole.with_(each)
    return whole


def _sums(row: Any) -> Sums:
    rows, fingerprint, digest, first, last = row
    return Sums(rows, fingerprint, digest, _aware(first), _aware(last))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pieces(lines: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    held, size = [], 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
