"""The partition of an archived month goes, once record, files and ClickHouse hold the same rows.

state      written ──compare──▶ dropping ──detach──▶ (detached) ──drop──▶ archived
After `dropping` there is no way back but `restore`: a kill in between is finished by the next run. Rows that are
erased meanwhile leave the files too; what is detached is never attached again.
"""

from __future__ import annotations

import psycopg

from core.errors import Conflict, Unavailable
from core.warehouse import Warehouse
from ingestion.archive.export import attached, record_sums
from ingestion.archive.layout import happened, id_fingerprint, read_layout, span, within
from ingestion.archive.manifest import Month, files_of, month_state, school_sums, set_month
from ingestion.archive.scratch import Sums, total
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint

_PREPARED = "select id from batches where pipeline = %s and state = 'prepared'"


class Unequal(Conflict):
    """The stores do not hold the same rows; nothing was dropped."""

    code = "archive_unequal"


def drop(connection: Blocking, warehouse: Warehouse, month: Month) -> None:
    """Take the month out of the record. Raises `Unequal`, and `Unavailable` while somebody reads the partition."""
    state = month_state(connection, month)
    if state is None or state["state"] not in ("written", "dropping", "archived"):
        raise Conflict(f"{month} has not been written to the archive.", code="not_archived")
    if state["state"] == "archived":
        return
    if attached(connection, month):
        compare(connection, warehouse, month, in_warehouse=state["warehouse"] == "here")
        failpoint("archive_compared")
        set_month(connection, month, state="dropping", problem=None)
        failpoint("archive_dropping")
    _detach(connection, month)
    failpoint("archive_detached")
    connection.execute(f"drop table if exists {month.partition}")
    failpoint("archive_dropped")
    set_month(connection, month, state="archived", keep_until=None)


def compare(connection: Blocking, warehouse: Warehouse, month: Month, *, in_warehouse: bool = True) -> None:
    """Record = files, value by value; record = ClickHouse, id by id. Raises `Unequal` with what differs."""
    layout = read_layout(connection, month.fact, month.partition)
    record = record_sums(connection, layout, month.partition)
    _same(month, record, school_sums(files_of(connection, month)), "the files hold")
    if not in_warehouse:
        return
    _same(month, _ids(record), warehouse_sums(warehouse, month, total(record.values())), "ClickHouse has")
    for row in connection.execute(_PREPARED, (month.fact.table,)).fetchall():
        if _holds(warehouse, month, row["id"]):
            raise Unavailable(f"A batch with rows of {month} is under way; it is tried again later.")


def warehouse_sums(warehouse: Warehouse, month: Month, about: Sums) -> dict[int, Sums]:
    """Rows and fingerprint of each school of a month in ClickHouse; `about` bounds when its rows happened."""
    fact = month.fact
    query = f"""
        SELECT school_id, count(), {id_fingerprint(fact.key)} FROM {fact.table}
        WHERE {happened(fact)} AND {within(fact)} GROUP BY school_id"""
    parameters = {**month.bounds, **span(about.first_at or month.start, about.last_at or month.stop)}
    found = warehouse.call(lambda client: client.query(query, parameters=parameters))
    return {row[0]: Sums(row[1], row[2]) for row in found.result_rows}


def _ids(sums: dict[int, Sums]) -> dict[int, Sums]:
    """Without the digest: ClickHouse's tables hold some of the columns, and milliseconds."""
    return {school: Sums(each.rows, each.fingerprint) for school, each in sums.items()}


def _same(month: Month, record: dict[int, Sums], other: dict[int, Sums], what: str) -> None:
    for school in sorted(record.keys() | other.keys()):
        left, right = record.get(school, Sums()), other.get(school, Sums())
        if left != right:
            how = f"{left.rows} rows, {what} {'others' if left.rows == right.rows else right.rows}"
            raise Unequal(
                f"{month}, school {school}: the record has {how}.",
                hint="Nothing was dropped. `eduanalytics pipeline audit` tells what ClickHouse lacks.",
                school_id=school,
            )


def _holds(warehouse: Warehouse, month: Month, batch: int) -> bool:
    query = f"SELECT count() FROM {month.fact.table} WHERE batch = {{batch:UInt64}} AND {within(month.fact)}"
    found = warehouse.call(lambda client: client.query(query, parameters={**month.bounds, "batch": batch}))
    return bool(found.result_rows[0][0])


def _detach(connection: Blocking, month: Month) -> None:
    """Readers and writers of other months are not held up; a detach that was cut off is finished."""
    stands = attached(connection, month)
    if stands is None:
        return
    how = "concurrently" if stands else "finalize"
    try:
        connection.execute(f"alter table {month.fact.table} detach partition {month.partition} {how}")
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable(f"Somebody still reads {month}; it is dropped at the next run.") from error
