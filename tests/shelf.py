"""ClickHouse databases of one folder, each used by one test at a time and by many one after the other.

To connect, to make our tables and to drop them takes longer than most tests, and the engine of a process ends with its
last client. So a database that a test left as it was made is emptied and used again; any other is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from itertools import count
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

from clickhouse_connect.driver.client import Client

from core.tables import create_tables
from core.warehouse import Warehouse

_THREADS = 2
_HISTORY = "schema_history"
_MEMORY = "non_replicated_deduplication_window"
_numbers = count(1)
_SHAPE = "SELECT name, create_table_query FROM system.tables WHERE database = {name:String} ORDER BY name"
_TRACES = """
SELECT table, 'rows' FROM system.parts WHERE database = {name:String} GROUP BY table
UNION ALL SELECT table, 'change' FROM system.mutations WHERE database = {name:String}
UNION ALL SELECT table, 'debris' FROM system.detached_parts WHERE database = {name:String}
"""


class Shelf:
    """Warehouses that wait for their next test: bare ones, and those that have our tables."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bare: list[Warehouse] = []
        self._furnished: list[tuple[Warehouse, list[Any]]] = []
        self._held = Warehouse(f"chdb://{folder}", threads=1)

    def bare(self) -> Warehouse:
        """A warehouse over an empty database."""
        return self._bare.pop() if self._bare else self._made()

    async def furnished(self) -> tuple[Warehouse, list[Any]]:
        """A warehouse over a database with our tables, which are empty; and their shape."""
        if self._furnished:
            return self._furnished.pop()
        warehouse = self._made()
        await create_tables(warehouse)
        return warehouse, _shape(warehouse)

    def clear(self, warehouse: Warehouse) -> None:
        """Take back a bare one."""
        if _is_idle(warehouse):
            name = _name(warehouse)
            _commands(warehouse, [f"DROP DATABASE IF EXISTS {name} SYNC", f"CREATE DATABASE {name}"])
            self._bare.append(warehouse)
        else:
            self._drop(warehouse)

    def empty(self, warehouse: Warehouse, shape: list[Any]) -> None:
        """Take back one with tables."""
        traces = set(_ask(warehouse, _TRACES)) - {(_HISTORY, "rows")} if _is_idle(warehouse) else {("", "running")}
        if all(kind == "rows" for _, kind in traces) and _shape(warehouse) == shape:
            _commands(warehouse, _emptying(shape, {table for table, _ in traces}))
            self._furnished.append((warehouse, shape))
        else:
            self._drop(warehouse)

    def close(self) -> None:
        """Let go of everything."""
        for warehouse in [*self._bare, *(warehouse for warehouse, _ in self._furnished), self._held]:
            warehouse.close()

    def _made(self) -> Warehouse:
        self._held.call(lambda client: client)
        warehouse = Warehouse(f"chdb://{self._folder}?database=test_{next(_numbers)}", threads=_THREADS)
        warehouse.call(lambda client: client)
        return warehouse

    def _drop(self, warehouse: Warehouse) -> None:
        warehouse.close()
        _commands(self._held, [f"DROP DATABASE IF EXISTS {_name(warehouse)} SYNC"])


def _emptying(shape: list[Any], filled: set[str]) -> Iterator[str]:
    """A table that remembers the tokens of its inserts remembers those of partitions that were replaced, too."""
    for table, creation in shape:
        if _MEMORY in creation:
            yield f"DROP TABLE {table} SYNC"
            yield creation
        elif table in filled:
            yield f"TRUNCATE TABLE {table}"


def _name(warehouse: Warehouse) -> str:
    return warehouse.url.partition("?database=")[2]


def _shape(warehouse: Warehouse) -> list[Any]:
    return _ask(warehouse, _SHAPE)


def _ask(warehouse: Warehouse, sql: str) -> list[Any]:
    return warehouse.call(lambda client: list(client.query(sql, parameters={"name": _name(warehouse)}).result_rows))


def _commands(warehouse: Warehouse, statements: Iterable[str]) -> None:
    def run(client: Client) -> None:
        for statement in statements:
            client.command(statement)

    warehouse.call(run)


def _is_idle(warehouse: Warehouse) -> bool:
    """Whether its threads do nothing any more and it was not closed."""
    met = Barrier(_THREADS)
    try:
        wait([warehouse._pool.submit(met.wait, 30) for _ in range(_THREADS)])
    except (RuntimeError, BrokenBarrierError):
        return False
    return not met.broken
