"""Asks ClickHouse of which types the columns are that cubes read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from sqlglot import exp

from core.errors import EduError
from core.telemetry import log
from core.warehouse import Warehouse
from engine.model.catalog import Catalog, Columns
from engine.model.columns import Types, read_type, typed
from engine.model.markers import CONTEXT, FILTERED, LOCAL, SCAN, TRUNCATED

PATIENCE, LIFETIME, OLD = 3.0, 15.0, 60.0
"""For so many seconds a question waits for the types; so old they are read again; so old a question waits for that."""
_OF_THE_QUESTION = (CONTEXT, LOCAL, TRUNCATED)


class KnownTypes:
    """A catalog with the types of its columns as far as ClickHouse has told them: `catalog` is what to plan by."""

    def __init__(self, catalog: Catalog, read: Callable[[], Awaitable[Types]]) -> None:
        self.catalog = catalog
        self._read = read
        self._types: Types = {}
        self._reading: asyncio.Task[bool] | None = None
        self._began = 0.0

    async def ready(self) -> None:
        """Read the types before the first question, then now and then beside the questions; after a rest before one."""
        age, task = time.monotonic() - self._began, self._reading
        if task is None or (task.done() and age > LIFETIME):
            task = self._start()
        if not task.done() and (not self._types or age > OLD):
            await asyncio.wait({task}, timeout=max(0.0, self._began + PATIENCE - time.monotonic()))

    async def refresh(self) -> bool:
        """Read them now, but not twice a second; whether they are others than before."""
        if self._reading is not None and self._reading.done() and time.monotonic() - self._began < 1:
            return False
        task = self._reading if self._reading is not None and not self._reading.done() else self._start()
        return await asyncio.shield(task)

    def _start(self) -> asyncio.Task[bool]:
        self._began = time.monotonic()
        self._reading = asyncio.create_task(self._renew())
        return self._reading

    async def _renew(self) -> bool:
        try:
            types = await self._read()
        except (EduError, RuntimeError) as error:  # away, or closed while a question was on its way
            log.warning("column types are not known", error=str(error)[:200])
            return False
        if types == self._types:
            return False
        self._types, self.catalog = types, typed(self.catalog, types)
        return True


async def read_types(warehouse: Warehouse, catalog: Catalog) -> Types:
    """The types of each cube's columns; a cube whose table cannot be described is left out."""
    return await warehouse.run(lambda client: describe(client, catalog))


def describe(client: Client, catalog: Catalog) -> Types:
    """The same, asked by this client."""
    statements = descriptions(catalog)
    known: dict[str, Columns] = {}
    for statement in dict.fromkeys(statements.values()):
        try:
            rows = client.query(statement).result_rows
        except OperationalError:
            raise
        except DatabaseError:
            continue
        types = ((str(row[0]), read_type(str(row[1]))) for row in rows)
        known[statement] = {name: kind for name, kind in types if kind is not None}
    return {name: known[statement] for name, statement in statements.items() if statement in known}


def descriptions(catalog: Catalog) -> dict[str, str]:
    """The statement that describes what each cube reads; none where only a question decides what that is."""
    found = {}
    for name, cube in catalog.cubes.items():
        tree = None if cube.unsupported else _table(catalog, name)
        if tree is not None:
            found[name] = f"DESCRIBE {tree.sql(dialect='clickhouse', comments=False)}"
    return found


def _table(catalog: Catalog, cube: str) -> exp.Expr | None:
    spelled = catalog.expanded.get(f"{cube}#table")
    if spelled is None or spelled.tree is None or spelled.unsupported:
        return None
    root = exp.Paren(this=catalog.tree(f"{cube}#table"))
    for call in list(root.find_all(exp.Anonymous)):
        if call.name in _OF_THE_QUESTION:
            return None
        if call.name == FILTERED:
            call.replace(exp.true())
    for table in list(root.find_all(exp.Table)):
        if table.name.startswith(SCAN) and not _replaced(catalog, table):
            return None
    result = root.this
    result.pop()
    return result  # type: ignore[no-any-return]


def _replaced(catalog: Catalog, table: exp.Table) -> bool:
    """Put another cube's table where its name stands; False if that is not known."""
    inner = _table(catalog, table.name.removeprefix(SCAN))
    if inner is None:
        return False
    inner.set("alias", table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name)))
    if table.args.get("joins"):
        inner.set("joins", table.args["joins"])
    table.replace(inner)
    return True
