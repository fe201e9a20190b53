"""A range of time is brought from the record once more, month by month: into a twin table, then exchanged at once.

    1 the twin gets the rows of the range from the record, and what lies in the month outside of it from the table
    2 what was loaded meanwhile is copied to the twin                            (from here nothing else is loaded)
    3 the twin is compared with the record; rows that only ClickHouse has come along, unless told to be removed
    4 REPLACE PARTITION: a reader sees the month as it was, or as it is

Each row keeps the number of the batch that brought it, so the manifest stays true. The twin bears the epoch: who is
elected next drops it, and so a loader that wakes late has nothing left to exchange.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from core.telemetry import log
from core.warehouse import Warehouse
from ingestion.batches import Damaged, fenced, read_progress
from ingestion.differences import EVER, NEVER, Differences, differences, is_settled, loaded_rows, within
from ingestion.facts import INSERT, put
from ingestion.failpoints import failpoint
from ingestion.manifest import read_manifest
from ingestion.partitions import month_of, next_month
from ingestion.pipelines import Pipeline
from ingestion.removal import delete
from ingestion.term import Term, connect

Steps: TypeAlias = Generator[dict[str, Any], None, dict[str, Any]]
_COUNTS = ("months", "rows", "missing", "duplicate", "extra", "removed", "archived")
_TWIN = "_replay_"
_BOUNDS = "select min(t.{time}) as first, max(t.{time}) as last from {rows}"


def replay(
    term: Term, pipeline: Pipeline, start: datetime | None, end: datetime | None, *, remove: bool = False
) -> Steps:
    """Replace [start, end) by what the record has; yields the progress.

    `remove`: rows that the record does not have are left out; otherwise they stay, and are counted.
    """
    total: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
    for month in _months(term, pipeline, start or EVER, end or NEVER):
        first, last = max(month, start or EVER), min(next_month(month), end or NEVER)
        for _ in _replay_month(term, pipeline, month, first, last, total, remove=remove):
            yield {**total, "month": f"{month:%Y-%m}"}
        total["months"] += 1
        yield dict(total)
    return total


def drop_twins(term: Term) -> None:
    """What earlier loaders were about to exchange is dropped: they may be asleep, not dead."""
    query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE {pattern:String}"
    pattern = {"pattern": f"%{_TWIN}%"}
    for row in term.warehouse.call(lambda client: client.query(query, parameters=pattern)).result_rows:
        _command(term.warehouse, f"DROP TABLE IF EXISTS {row[0]}")


def _months(term: Term, pipeline: Pipeline, start: datetime, end: datetime) -> list[datetime]:
    """The months of the range in which either side has rows."""
    query = _BOUNDS.format(time=pipeline.time, rows=loaded_rows(pipeline))
    record = term.connection.execute(query, {"start": start, "end": end}).fetchall()[0]
    there = _ask(
        term, f"SELECT DISTINCT toYYYYMM({pipeline.time}) FROM {pipeline.name} WHERE {within(pipeline, start, end)}"
    )
    months = {datetime(number // 100, number % 100, 1, tzinfo=UTC) for (number,) in there}
    if record["first"] is not None:
        month, last = month_of(record["first"]), month_of(record["last"])
        while month <= last:
            months.add(month)
            month = next_month(month)
    return sorted(months)


def _replay_month(
    term: Term,
    pipeline: Pipeline,
    month: datetime,
    start: datetime,
    end: datetime,
    total: dict[str, Any],
    *,
    remove: bool,
) -> Iterator[None]:
    table, twin = pipeline.name, f"{pipeline.name}{_TWIN}{term.epochs[pipeline.name]}"
    while not is_settled(term, pipeline):
        yield
    _command(term.warehouse, f"DROP TABLE IF EXISTS {twin}")
    _command(term.warehouse, f"CREATE TABLE {twin} AS {table}")
    last = read_progress(term.connection, table).last_batch
    whole, own = within(pipeline, month, next_month(month)), within(pipeline, start, end)
    _command(
        term.warehouse, f"INSERT INTO {twin} SELECT * FROM {table} WHERE {whole} AND NOT {own} AND batch <= {last}"
    )
    for lines in read_record(term, pipeline, start, end):
        put(term.warehouse, twin, pipeline.names, lines, INSERT)
        failpoint("replayed")
        total["rows"] += len(lines)
        yield
    while not is_settled(term, pipeline):
        yield
    _command(term.warehouse, f"INSERT INTO {twin} SELECT * FROM {table} WHERE {whole} AND batch > {last}")
    before = differences(term, pipeline, table, start, end)
    _mend(term, pipeline, twin, start, end)
    _keep(term.warehouse, pipeline, twin, before, total, remove=remove, own=own)
    failpoint("exchanging")
    fenced(term, table, "select name from pipelines where name = %(pipeline)s and epoch = %(epoch)s")
    _command(term.warehouse, f"ALTER TABLE {table} REPLACE PARTITION {month:%Y%m} FROM {twin}")
    failpoint("exchanged")
    term.batches += 1
    _command(term.warehouse, f"DROP TABLE IF EXISTS {twin}")


def read_record(term: Term, pipeline: Pipeline, start: datetime, end: datetime) -> Iterator[list[bytes]]:
    """The loaded rows of a range with their batch numbers, some at a time, as one snapshot of the record has them."""
    query = f"copy (select {pipeline.values}, t.xid, t.seq from {loaded_rows(pipeline)}) to stdout"
    with connect(term.url) as connection:
        connection.execute("begin isolation level repeatable read")
        manifest = read_manifest(connection, pipeline)
        lines: list[bytes] = []
        with connection.cursor().copy(query, {"start": start, "end": end}) as rows:
            for row in rows:
                values, xid, seq = bytes(row)[:-1].rsplit(b"\t", 2)
                number = manifest.batch_of(int(xid), int(seq), UUID(values[:36].decode()))
                lines.append(b"%b\t%d\n" % (values, number))
                if len(lines) == term.batch_rows:
                    yield lines
                    lines = []
        if lines:
            yield lines


def _mend(term: Term, pipeline: Pipeline, twin: str, start: datetime, end: datetime) -> None:
    """The twin has what the record has now: rows that were erased meanwhile go; anything else is a fault."""
    found = differences(term, pipeline, twin, start, end)
    if found.missing or found.duplicate:
        raise Damaged(f"The copy of {pipeline.name} lacks {len(found.missing)} rows; nothing was exchanged.")
    delete(term.warehouse, pipeline, twin, found.extra)


def _keep(
    warehouse: Warehouse,
    pipeline: Pipeline,
    twin: str,
    before: Differences,
    total: dict[str, Any],
    *,
    remove: bool,
    own: str,
) -> None:
    """Rows of the table that the record does not have come along."""
    total["missing"] += len(before.missing)
    total["duplicate"] += len(before.duplicate)
    total["extra"] += len(before.extra)
    total["archived"] += before.archived
    if remove:
        total["removed"] += len(before.extra)
        if before.archived:
            raise Damaged(
                f"{before.archived} rows of {pipeline.name} are archived; restore them before you remove rows."
            )
        return
    if before.extra or before.archived:
        log.warning(
            "rows that the record does not have stay in ClickHouse", table=pipeline.name, rows=len(before.extra)
        )
        key = pipeline.key
        absent = f"{key} NOT IN (SELECT {key} FROM {twin})"
        _command(warehouse, f"INSERT INTO {twin} SELECT * FROM {pipeline.name} WHERE {own} AND {absent}")


def _command(warehouse: Warehouse, command: str) -> None:
    settings = {"async_insert": 0, "max_partitions_per_insert_block": 0}
    warehouse.call(lambda client: client.command(command, settings=settings))


def _ask(term: Term, query: str) -> Sequence[Any]:
    return term.warehouse.call(lambda client: client.query(query)).result_rows
