"""How the path to ClickHouse stands: one answer for the command line, the API and the metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.clock import now
from core.postgres import Connection, Postgres
from core.telemetry import load_lag
from core.warehouse import Warehouse
from ingestion.pipelines import DIMENSIONS, FACTS, Pipeline, changes_waiting_query, window_parameters
from ingestion.term import LOCK
from ingestion.windows import START, Key, Snapshot

_PROGRESS = "select done::text, target::text, key_xid::text, key_seq from pipelines where name = %s"
_MOST_CHANGES = 10_000
_BATCHES = """
select coalesce(sum(rows) filter (where state = 'committed'), 0)::bigint as shipped,
       count(*) filter (where state = 'prepared') as prepared,
       max(id) filter (where state = 'committed') as last_batch, max(committed_at) as last_batch_at
from batches where pipeline = %s
"""
_OLDEST_WRITE = """
select coalesce(extract(epoch from clock_timestamp() - min(xact_start)), 0)::float8 as seconds
from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid()
"""
_LEADER = (
    "select count(*) as n from pg_locks where locktype = 'advisory' and classid = 0 "
    "and objid = %s and granted "
    "and database = (select oid from pg_database where datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """One pipeline. `lag_seconds` is the age of the oldest committed row that cannot be queried yet, 0 for none.

    Rows: committed in the record (None unless counted), sent by confirmed batches, in ClickHouse.
    """

    name: str
    lag_seconds: float
    record_rows: int | None
    shipped_rows: int
    last_batch: int | None
    last_batch_at: datetime | None
    prepared_batches: int
    warehouse_rows: int = 0
    newest_loaded: datetime | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole path; `loading` says whether a loader is elected now.

    `waiting_changes`: changed rows of dimensions that wait (counted up to 10 000); `oldest_write_seconds`: how long
    the oldest open write transaction of the cluster has been open; its rows come when it ends.
    """

    as_of: datetime
    loading: bool
    pipelines: tuple[PipelineStatus, ...]
    waiting_changes: int
    dead_letters: int
    oldest_write_seconds: float

    @property
    def lag_seconds(self) -> float:
        """The greatest lag of all."""
        return max(pipeline.lag_seconds for pipeline in self.pipelines)


async def read_status(postgres: Postgres, warehouse: Warehouse, *, exact: bool = False) -> Status:
    """Look at both sides; `exact` counts the record's rows too (slow on a large one). Raises `Unavailable`."""
    async with postgres.transaction() as connection:
        records = [await _record_side(connection, pipeline, exact=exact) for pipeline in FACTS]
        changes = await _waiting_changes(connection)
        letters = await _one(connection, "select count(*) as n from dead_letters")
        oldest = await _one(connection, _OLDEST_WRITE)
        leader = await _one(connection, _LEADER, (LOCK,))
    pipelines = tuple([await _with_warehouse(warehouse, record) for record in records])
    for pipeline in pipelines:
        load_lag.labels(pipeline.name).set(pipeline.lag_seconds)
    return Status(now(), leader["n"] > 0, pipelines, changes, letters["n"], oldest["seconds"])


async def _record_side(connection: Connection, pipeline: Pipeline, *, exact: bool) -> PipelineStatus:
    batches = await _one(connection, _BATCHES, (pipeline.name,))
    counted = await _one(connection, f"select count(*) as n from {pipeline.name}") if exact else {"n": None}
    return PipelineStatus(
        name=pipeline.name,
        lag_seconds=await _lag(connection, pipeline),
        record_rows=counted["n"],
        shipped_rows=batches["shipped"],
        last_batch=batches["last_batch"],
        last_batch_at=batches["last_batch_at"],
        prepared_batches=batches["prepared"],
    )


async def _with_warehouse(warehouse: Warehouse, record: PipelineStatus) -> PipelineStatus:
    rows = (await warehouse.query(f"SELECT count() FROM {record.name}")).result_rows[0][0]
    query = f"SELECT maxOrNull(received_at) FROM {record.name} WHERE batch = {{batch:UInt64}}"
    newest = (await warehouse.query(query, {"batch": record.last_batch or 0})).result_rows[0][0]
    return replace(record, warehouse_rows=rows, newest_loaded=newest)


async def _lag(connection: Connection, pipeline: Pipeline) -> float:
    """The age of the first row that is committed and not loaded."""
    ages = [0.0]
    for parameters in await _places(connection, pipeline.name, 1):
        found = await (await connection.execute(pipeline.oldest_query(), parameters)).fetchone()
        if found:
            ages.append((now() - found["received_at"]).total_seconds())
    return max(ages)


async def _waiting_changes(connection: Connection) -> int:
    query = changes_waiting_query()
    return sum(
        [
            (await _one(connection, query, parameters))["n"]
            for parameters in await _places(connection, DIMENSIONS, _MOST_CHANGES)
        ]
    )


async def _places(connection: Connection, name: str, limit: int) -> list[dict[str, Any]]:
    """The windows not yet loaded: the rest of the open one, and what came after it."""
    row = await (await connection.execute(_PROGRESS, (name,))).fetchone()
    current = Snapshot.parse((await _one(connection, "select pg_current_snapshot()::text as now"))["now"])
    if row is None:
        return [window_parameters(Snapshot(1, 1), current, START, limit)]
    done = Snapshot.parse(row["done"])
    if row["target"] is None:
        return [window_parameters(done, current, START, limit)]
    target, key = Snapshot.parse(row["target"]), Key(int(row["key_xid"]), row["key_seq"])
    return [window_parameters(done, target, key, limit), window_parameters(target, current, START, limit)]


async def _one(connection: Connection, query: str, parameters: Any = None) -> dict[str, Any]:
    return (await (await connection.execute(query, parameters)).fetchall())[0]
