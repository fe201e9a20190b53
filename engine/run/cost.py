"""What a statement would read, by ClickHouse's own estimate: rows, parts, marks, and bytes of the columns it names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from clickhouse_connect.driver.query import QueryResult
from sqlglot import exp

from core.errors import EduError
from engine.sql.statement import Statement

Ask = Callable[[str, Mapping[str, Any]], Awaitable[QueryResult]]
Name = tuple[str, str]
_NOTHING = (
    "No rows of MergeTree tables would be read (a plain count comes from their metadata); "
    "of other tables ClickHouse gives no estimate."
)
_TABLES = "database IN {databases:Array(String)} AND table IN {tables:Array(String)} AND active"
_COLUMN_WIDTHS = f"""
SELECT database, table, column, sum(column_data_uncompressed_bytes) / sumIf(rows, column_data_uncompressed_bytes > 0)
FROM system.parts_columns WHERE {_TABLES} AND column IN {{columns:Array(String)}}
GROUP BY database, table, column HAVING sum(column_data_uncompressed_bytes) > 0
"""
_ROW_WIDTHS = f"""
SELECT database, table, sum(data_uncompressed_bytes) / sum(rows)
FROM system.parts WHERE {_TABLES} GROUP BY database, table HAVING sum(rows) > 0
"""


@dataclass(frozen=True, slots=True)
class TableCost:
    """What is read of one table; `bytes` are uncompressed, None if nobody knows."""

    database: str
    table: str
    parts: int
    rows: int
    marks: int
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a statement reads, table by table; `problem` says why there is no estimate, or none of the bytes."""

    tables: tuple[TableCost, ...] = ()
    problem: str | None = None

    def total(self, what: str) -> int:
        """The sum of `rows`, `parts`, `marks` or `bytes` over the tables."""
        return sum(getattr(each, what) or 0 for each in self.tables)


async def estimate(ask: Ask, statement: Statement) -> Cost:
    """The cost of a statement; never fails: what cannot be found out is told in `problem`."""
    try:
        rows = (await ask(f"EXPLAIN ESTIMATE {statement.sql}", statement.parameters)).result_rows
    except EduError as error:
        return Cost(problem=f"ClickHouse gives no estimate: {error.message[:300]}")
    read = [TableCost(str(row[0]), str(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows]
    if not read:
        return Cost(problem=_NOTHING)
    try:
        widths = await _widths(ask, read, _columns(statement.sql))
    except EduError as error:
        return Cost(tuple(read), f"The bytes are unknown: {error.message[:300]}")
    return Cost(tuple(_weighed(each, widths.get((each.database, each.table))) for each in read))


def _weighed(each: TableCost, width: float | None) -> TableCost:
    size = None if width is None else round(each.rows * width)
    return TableCost(each.database, each.table, each.parts, each.rows, each.marks, size)


def _columns(sql: str) -> list[str]:
    return sorted({column.name for column in sqlglot.parse_one(sql, read="clickhouse").find_all(exp.Column)})


async def _widths(ask: Ask, read: Sequence[TableCost], columns: list[str]) -> dict[Name, float]:
    """Bytes a row of each table: of the named columns, or of all where its parts do not tell them apart (compact)."""
    names = {
        "databases": sorted({each.database for each in read}),
        "tables": sorted({each.table for each in read}),
    }
    whole = (await ask(_ROW_WIDTHS, names)).result_rows
    found: dict[Name, float] = {(database, table): float(width) for database, table, width in whole}
    apart: dict[Name, float] = {}
    for database, table, _, width in (await ask(_COLUMN_WIDTHS, {**names, "columns": columns})).result_rows:
        apart[database, table] = apart.get((database, table), 0.0) + float(width)
    return found | apart
