"""A cold month leaves ClickHouse; its files were read and compared just before, and its batches are told.

warehouse  here ──read the files, tell the batches──▶ leaving ──delete──▶ away
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import Conflict, Unavailable
from core.warehouse import Warehouse
from ingestion.archive.balance import batch_sums, subtract, under_way
from ingestion.archive.dropping import Unequal
from ingestion.archive.export import Tell
from ingestion.archive.layout import Fact, happened, span, within
from ingestion.archive.manifest import Month, files_of, month_state, set_month
from ingestion.archive.restore import checked
from ingestion.archive.scratch import total
from ingestion.archive.store import Store
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint


def leave_warehouse(
    connection: Blocking, warehouse: Warehouse, store: Store, month: Month, tell: Tell | None = None
) -> int:
    """Delete an archived month from ClickHouse; how many rows. Raises `Damaged`, `Unequal`, `Conflict`."""
    state = month_state(connection, month)
    if state is None or state["state"] != "archived":
        raise Conflict(f"{month} is not in the archive only.", code="not_archived")
    if state["warehouse"] == "away":
        return 0
    held = total(file.sums for file in files_of(connection, month))
    if held.first_at is None or held.last_at is None:
        set_month(connection, month, warehouse="away")
        return 0
    where = f"{happened(month.fact)} AND {within(month.fact)}"
    parameters = {**month.bounds, **span(held.first_at, held.last_at)}
    if state["warehouse"] == "here":
        for _ in checked(connection, warehouse, store, month, tell):
            pass
        _tell_batches(connection, warehouse, month, where, parameters)
        failpoint("cold_told")
    delete_rows(warehouse, month.fact, where, parameters)
    failpoint("cold_deleted")
    set_month(connection, month, warehouse="away", keep_until=None)
    return held.rows


def delete_rows(warehouse: Warehouse, fact: Fact, where: str, parameters: Mapping[str, Any]) -> None:
    """Delete rows and their bytes: the parts that hold some are written anew. Nothing to do is quick."""
    statement = f"ALTER TABLE {fact.table} DELETE WHERE {where}"
    warehouse.call(
        lambda client: client.command(statement, parameters=dict(parameters), settings={"mutations_sync": 2})
    )


def _tell_batches(
    connection: Blocking, warehouse: Warehouse, month: Month, where: str, parameters: Mapping[str, Any]
) -> None:
    sums = batch_sums(warehouse, month.fact, where, parameters)
    files = total(file.sums for file in files_of(connection, month))
    found = total(sums.values())
    if (found.rows, found.fingerprint) != (files.rows, files.fingerprint):
        raise Unequal(
            f"{month}: the files hold {files.rows} rows, ClickHouse has {found.rows}.",
            hint="`eduanalytics archive restore --into-clickhouse` brings what is missing.",
        )
    with connection.transaction():
        if under_way(connection, month.fact) & sums.keys():
            raise Unavailable(f"A batch with rows of {month} is under way; it is tried again later.")
        subtract(connection, month.fact, sums)
        set_month(connection, month, warehouse="leaving")
