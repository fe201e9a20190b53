"""Mutations of ClickHouse: seen at once by every reader, written to disk in the background."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import Unavailable
from core.telemetry import log
from core.warehouse import Warehouse, quote

_PENDING = """
SELECT table, latest_fail_reason FROM system.mutations
WHERE database = currentDatabase() AND NOT is_done AND has({tables:Array(String)}, table)
"""
_ASYNC = "SETTINGS mutations_sync = 0"


def count(warehouse: Warehouse, table: str, condition: str, parameters: dict[str, Any], *, final: bool = False) -> int:
    """How many rows (of every version, unless `final`) meet a condition."""
    query = f"SELECT count() FROM {quote(table)} {'FINAL' if final else ''} WHERE {condition}"
    return int(rows(warehouse, query, parameters)[0][0])


def delete(warehouse: Warehouse, table: str, condition: str, parameters: dict[str, Any]) -> None:
    """Begin to delete; what meets the condition is not seen any more when this returns."""
    statement = f"ALTER TABLE {quote(table)} DELETE WHERE {condition} {_ASYNC}"
    warehouse.call(lambda client: client.command(statement, parameters=parameters))


def update(warehouse: Warehouse, table: str, changes: str, condition: str, parameters: dict[str, Any]) -> None:
    """Begin to change; the new values are seen, all at once, when this returns."""
    statement = f"ALTER TABLE {quote(table)} UPDATE {changes} WHERE {condition} {_ASYNC}"
    warehouse.call(lambda client: client.command(statement, parameters=parameters))


def are_written(warehouse: Warehouse, tables: Iterable[str]) -> bool:
    """Whether the mutations of these tables are on disk; raises `Unavailable` when one cannot get there."""
    waiting = rows(warehouse, _PENDING, {"tables": list(tables)})
    for table, reason in waiting:
        if reason:
            log.error("a mutation fails", table=table, reason=str(reason)[:500])
            raise Unavailable(f"ClickHouse cannot finish a mutation of {table}.", cause=str(reason)[:300])
    return not waiting


def rows(warehouse: Warehouse, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    result = warehouse.call(lambda client: client.query(query, parameters=parameters))
    return [tuple(row) for row in result.result_rows]
