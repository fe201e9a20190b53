"""A table's columns as Postgres, ClickHouse and a Parquet file know them, and the digest that all three compute.

Columns come from the record's catalog, so a migration that adds one needs no line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clock import epoch_ms
from core.warehouse import quote
from ingestion.batches import Blocking

# Postgres' type → ClickHouse's; every other type is kept as its text.
_TYPES = {
    "uuid": "UUID", "bigint": "Int64", "integer": "Int32", "smallint": "Int16", "xid8": "UInt64", "boolean": "Bool",
    "double precision": "Float64", "timestamp with time zone": "DateTime64(6, 'UTC')",
}  # fmt: skip
_COLUMNS = """
select attname as name, format_type(atttypid, null) as type, not attnotnull as nullable from pg_attribute
where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum
"""
# A bound moment: drivers disagree on fractions of a second in texts, not on whole numbers.
_MOMENT = "fromUnixTimestamp64Milli({{{}:Int64}}, 'UTC')"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the record; `type` is Postgres' own name of it."""

    name: str
    type: str
    nullable: bool

    @property
    def stored(self) -> str:
        """Its type in ClickHouse and in files."""
        kept = _TYPES.get(self.type, "String")
        return f"Nullable({kept})" if self.nullable else kept

    def sent(self) -> str:
        """Its value as COPY text that ClickHouse reads without loss."""
        return f"{self.name} at time zone 'UTC'" if self.type == "timestamp with time zone" else f"{self.name}::text"

    def text_in_record(self) -> str:
        """The text that goes into the digest, in Postgres' words."""
        texts = {
            "timestamp with time zone": f"(extract(epoch from {self.name}) * 1000000)::bigint::text",
            "boolean": f"{self.name}::int::text",
            "double precision": f"encode(float8send({self.name}), 'hex')",
        }
        return f"coalesce({texts.get(self.type, f'{self.name}::text')}, E'\\x02')"

    def text_in_warehouse(self) -> str:
        """The same text, in ClickHouse's words."""
        name = quote(self.name)
        texts = {
            "timestamp with time zone": f"toString(toUnixTimestamp64Micro({name}))",
            "boolean": f"toString(toUInt8({name}))",
            "double precision": f"leftPad(lower(hex(reinterpretAsUInt64({name}))), 16, '0')",
        }
        return f"ifNull({texts.get(self.type, f'toString({name})')}, '\\x02')"


@dataclass(frozen=True, slots=True)
class Fact:
    """A table of the record that is partitioned by month: its key, whose rows they are, when they happened."""

    table: str
    key: str
    person: str
    at: str


RESPONSES = Fact("responses", "response_id", "student_id", "submitted_at")
EVENTS = Fact("events", "event_id", "user_id", "occurred_at")
ARCHIVED = {fact.table: fact for fact in (RESPONSES, EVENTS)}


@dataclass(frozen=True, slots=True)
class Layout:
    """A table with the columns that it had when its rows were written."""

    fact: Fact
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names, in the table's order."""
        return [column.name for column in self.columns]

    def structure(self) -> str:
        """The columns as a CREATE TABLE of ClickHouse wants them."""
        return ", ".join(f"{quote(column.name)} {column.stored}" for column in self.columns)

    def record_sums(self) -> str:
        """Rows, fingerprint, digest, first and last moment of each school (`{table}` is put in)."""
        key, at = self.fact.key, self.fact.at
        parts = ", ".join(column.text_in_record() for column in self.columns)
        text = f"concat_ws(E'\\x1f', {parts})"
        return f"""
            select school_id, count(*) as rows,
                   bit_xor(('x' || encode(substr(uuid_send({key}), 9), 'hex'))::bit(64)::bigint) as fingerprint,
                   bit_xor(('x' || left(md5({text}), 16))::bit(64)::bigint) as digest,
                   min({at}) as first_at, max({at}) as last_at
            from {{table}} group by school_id"""

    def warehouse_sums(self) -> str:
        """The same aggregates in ClickHouse's words, without FROM."""
        parts = ", ".join(column.text_in_warehouse() for column in self.columns)
        text = f"concatWithSeparator('\\x1f', {parts})"
        digest = f"groupBitXor(reinterpretAsUInt64(reverse(substring(MD5({text}), 1, 8))))"
        at = self.fact.at
        return f"count(), {id_fingerprint(self.fact.key)}, {digest}, min({at}), max({at})"

    def copy_out(self, table: str) -> str:
        """All rows of a partition as text that ClickHouse reads."""
        return f"copy (select {', '.join(column.sent() for column in self.columns)} from {table}) to stdout"

    def as_json(self) -> list[list[Any]]:
        """What the manifest keeps of it."""
        return [[column.name, column.type, column.nullable] for column in self.columns]

    @classmethod
    def from_json(cls, table: str, columns: list[list[Any]]) -> Layout:
        """The layout of a file, from the manifest."""
        return cls(ARCHIVED[table], tuple(Column(*column) for column in columns))


def id_fingerprint(key: str) -> str:
    """The xor of the low eight bytes of the ids, as the loader's batches have it."""
    return f"groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum({key}), 9, 8))))"


def read_layout(connection: Blocking, fact: Fact, table: str | None = None) -> Layout:
    """The columns that a table (or one partition of it) has now."""
    rows = connection.execute(_COLUMNS, (table or fact.table,)).fetchall()
    return Layout(fact, tuple(Column(row["name"], row["type"], row["nullable"]) for row in rows))


def within(fact: Fact) -> str:
    """Rows of one month of the record, in ClickHouse: the id carries the month, whatever `at` says (`Month.bounds`)."""
    moment = f"UUIDv7ToDateTime({fact.key}, 'UTC')"
    return f"{moment} >= {_MOMENT.format('start')} AND {moment} < {_MOMENT.format('stop')}"


def happened(fact: Fact) -> str:
    """Rows between two moments, both included, in ClickHouse (`span`); it reads only the partitions concerned."""
    return f"{fact.at} >= {_MOMENT.format('first')} AND {fact.at} <= {_MOMENT.format('last')}"


def span(first: datetime, last: datetime) -> dict[str, int]:
    """The values of `happened`; ClickHouse keeps milliseconds, cut off like these."""
    return {"first": epoch_ms(first), "last": epoch_ms(last)}
