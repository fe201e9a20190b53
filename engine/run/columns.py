"""Asks ClickHouse of which types the columns are that cubes read."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from sqlglot import exp

from core.warehouse import Warehouse
from engine.model.catalog import Catalog, Columns
from engine.model.columns import Types, read_type
from engine.model.markers import CONTEXT, FILTERED, LOCAL, SCAN, TRUNCATED

_OF_THE_QUESTION = (CONTEXT, LOCAL, TRUNCATED)


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
        except ClickHouseError:
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
