"""Files → ClickHouse (so that the cubes see the month), or the record (so that its rows can be changed).

Every file is checked on the way. What is there already is not brought twice: into ClickHouse go the missing ids, into
the record goes a whole partition in one transaction. What was brought stays until `keep_until`, then it goes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import uuid4

from core.errors import Conflict, NotFound, Unavailable
from core.ids import first_id
from core.warehouse import Warehouse
from ingestion.archive.export import Tell, record_sums
from ingestion.archive.layout import Layout, happened, read_layout, span
from ingestion.archive.manifest import File, Month, files_of, month_state, set_month
from ingestion.archive.scratch import Scratch, Sums, scratch, total
from ingestion.archive.store import Store
from ingestion.batches import Blocking, Damaged
from ingestion.failpoints import failpoint
from ingestion.pipelines import FACTS

# Rows of another cluster carry its transaction numbers: this one is below every window of ours, above an empty one.
_LOADED_XID = "3"
_NO_BATCH = 0


def into_warehouse(
    connection: Blocking,
    warehouse: Warehouse,
    store: Store,
    month: Month,
    keep_until: datetime | None = None,
    tell: Tell | None = None,
) -> int:
    """Bring what ClickHouse lacks of an archived month; how many rows. Raises `Damaged`, `NotFound`, `Conflict`."""
    state = _archived(connection, month)
    if state["warehouse"] == "leaving":
        raise Conflict(f"{month} is leaving ClickHouse; try again in a moment.", code="archive_busy")
    if _is_lost(connection, warehouse, month):
        raise Unavailable("ClickHouse has lost its rows.", hint="Start the loader; it brings the record again first.")
    brought = 0
    for file, table in checked(connection, warehouse, store, month, tell):
        brought += _insert(warehouse, file, table)
        failpoint("archive_file_restored")
    set_month(connection, month, warehouse="here", keep_until=keep_until)
    return brought


def into_record(
    connection: Blocking,
    warehouse: Warehouse,
    store: Store,
    month: Month,
    keep_until: datetime | None = None,
    tell: Tell | None = None,
) -> int:
    """Make the month's partition again; how many rows, 0 when it is there already. All or nothing."""
    if _archived(connection, month)["state"] == "restored":
        return 0
    with connection.transaction():
        connection.execute(f"drop table if exists {month.partition}")
        connection.execute(f"create table {month.partition} (like {month.fact.table} including all excluding identity)")
        now = read_layout(connection, month.fact)
        ours = connection.execute("select system_identifier::text as id from pg_control_system()").fetchall()[0]["id"]
        expected = []
        for file, table in checked(connection, warehouse, store, month, tell):
            _copy_in(connection, month, table, now, foreign=file.cluster != ours)
            same = file.layout == now and file.cluster == ours
            expected.append(file.sums if same else Sums(file.sums.rows, file.sums.fingerprint))
            failpoint("archive_file_restored")
        rows = _check_record(connection, month, now, expected)
        connection.execute(
            f"alter table {month.fact.table} attach partition {month.partition} "
            f"for values from ('{first_id(month.start)}') to ('{first_id(month.stop)}')"
        )
        set_month(connection, month, state="restored", keep_until=keep_until)
    failpoint("archive_restored")
    return rows


def checked(
    connection: Blocking,
    warehouse: Warehouse,
    store: Store,
    month: Month,
    tell: Tell | None = None,
    only: Sequence[File] | None = None,
) -> Iterator[tuple[File, Scratch]]:
    """Each file of a month with its rows in a scratch table, compared with the manifest. Raises `Damaged`."""
    files = files_of(connection, month) if only is None else only
    done, rows = 0, sum(file.sums.rows for file in files)
    for file in files:
        with scratch(warehouse, file.layout, "check") as table:
            table.take(file.path, file.content(store))
            if total(table.sums().values()) != file.sums:
                raise Damaged(f"The archive's file {file.path} does not hold the rows of the manifest.", path=file.path)
            yield file, table
        done += file.sums.rows
        if tell:
            tell(done, rows, str(month))


def _archived(connection: Blocking, month: Month) -> dict[str, object]:
    state = month_state(connection, month)
    if state is None:
        raise NotFound(f"The archive has no month {month}.", hint="`eduanalytics archive list` shows the months.")
    if state["state"] not in ("archived", "restored"):
        raise Conflict(f"{month} has not left the record.", code="not_archived")
    return state


def _is_lost(connection: Blocking, warehouse: Warehouse, month: Month) -> bool:
    """Whether an empty table in ClickHouse should not be empty."""
    query = "select exists (select from batches where pipeline = %s and state = 'committed' and rows > 0) as sent"
    if not connection.execute(query, (month.fact.table,)).fetchall()[0]["sent"]:
        return False
    found = warehouse.call(lambda client: client.query(f"SELECT count() FROM {month.fact.table}"))
    return int(found.result_rows[0][0]) == 0


def _insert(warehouse: Warehouse, file: File, table: Scratch) -> int:
    """The rows of one file that ClickHouse lacks; how many they were."""
    fact = file.month.fact
    (pipeline,) = (each for each in FACTS if each.name == fact.table)
    names = ", ".join(name for name, _ in pipeline.columns if name in file.layout.names)
    if not file.sums.first_at or not file.sums.last_at:
        return 0
    parameters = {"school": file.school_id, **span(file.sums.first_at, file.sums.last_at)}
    missing = f"""
        FROM {table.name} WHERE {fact.key} NOT IN (
            SELECT {fact.key} FROM {fact.table} WHERE school_id = {{school:Int64}} AND {happened(fact)})"""
    found = int(table.rows(f"SELECT count() {missing}", parameters)[0][0])
    if found:
        settings = {"async_insert": 0, "insert_deduplication_token": uuid4().hex, "max_partitions_per_insert_block": 0}
        statement = f"INSERT INTO {fact.table} ({names}, batch) SELECT {names}, {_NO_BATCH} {missing}"
        warehouse.call(lambda client: client.command(statement, parameters=parameters, settings=settings))
    return found


def _copy_in(connection: Blocking, month: Month, table: Scratch, now: Layout, *, foreign: bool) -> None:
    names = [name for name in table.layout.names if name in now.names]
    with connection.cursor().copy(f"copy {month.partition} ({', '.join(names)}) from stdin") as lines:
        lines.write(table.text(names, {"xid": _LOADED_XID} if foreign else {}))


def _check_record(connection: Blocking, month: Month, layout: Layout, expected: list[Sums]) -> int:
    found, wanted = total(record_sums(connection, layout, month.partition).values()), total(expected)
    whole = all(sums.digest for sums in expected)
    if (found if whole else Sums(found.rows, found.fingerprint)) != (
        wanted if whole else Sums(wanted.rows, wanted.fingerprint)
    ):
        raise Damaged(f"The record does not take the rows of {month} as they are in the files.")
    return found.rows
