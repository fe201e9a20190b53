"""How the path to ClickHouse stands: one answer for the command line, the API and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from core.clock import now
from core.errors import EduError
from core.postgres import Connection, Postgres
from core.telemetry import load_lag
from core.warehouse import Warehouse
from ingestion.pipelines import DIMENSIONS, FACTS, Pipeline, changes_waiting_query, window_parameters
from ingestion.term import HOLDER, LOCK, NAME
from ingestion.windows import BEFORE_ALL, START, Key, Snapshot

_PROGRESS = "select done::text, target::text, key_xid::text, key_seq, floor_seq from pipelines where name = %s"
_MOST_CHANGES = 10_000
_BATCHES = """
select (select settled_rows from named) + coalesce(sum(rows) filter (where state = 'committed'), 0) as shipped,
       count(*) filter (where state = 'prepared') as prepared,
       max(attempt) filter (where state = 'prepared') as attempt,
       min(prepared_at) filter (where state = 'prepared') as prepared_at,
       max(id) filter (where state = 'committed') as last_batch, max(committed_at) as last_batch_at,
       (select trouble from named), (select failing_since from named),
       coalesce((select failures from named), 0) as failures,
       (select count(*) from refused_rows where pipeline = %(name)s and brought_at is null) as refused
from batches where pipeline = %(name)s
"""
_NAMED = """
with named as (select coalesce(max(settled_rows), 0) as settled_rows, max(trouble) as trouble,
                      max(failing_since) as failing_since, max(failures) as failures
               from pipelines where name = %(name)s)
"""
_OLDEST_WRITE = """
select coalesce(extract(epoch from clock_timestamp() - min(xact_start)), 0)::float8 as seconds
from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid()
"""
_LETTERS = "select stage, count(*) as n from dead_letters group by stage order by stage"
_AUDITS = "select kind, ended_at, batches, different, repaired, ever from audits order by kind"
_FINDINGS = """
select pipeline, kind, count(*) as batches, sum(rows)::bigint as rows, min(found_at) as since
from audit_findings where settled_at is null group by pipeline, kind order by pipeline, kind
"""
_JOBS = "select id, kind, state, options, progress from loader_jobs where state in ('requested', 'running') order by id"
_PATIENCE_SECONDS = 5.0
_LATE_SECONDS = 60.0
_SILENT_SECONDS = 5.0
_LONG_WRITE_SECONDS = 600.0


class Level(IntEnum):
    """How much somebody is needed; the exit codes that monitoring programs expect."""

    WELL = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """One pipeline. `lag_seconds` is the age of the oldest committed row that cannot be queried yet, 0 for none.

    Rows: committed in the record (None unless counted), sent by confirmed batches, in ClickHouse (None while it is
    away), refused by ClickHouse. `trouble`: why it waits, since when, after how many failures.
    """

    name: str
    lag_seconds: float
    record_rows: int | None
    shipped_rows: int
    last_batch: int | None
    last_batch_at: datetime | None
    prepared_batches: int
    attempt: int | None = None
    prepared_at: datetime | None = None
    refused_rows: int = 0
    trouble: str | None = None
    failing_since: datetime | None = None
    failures: int = 0
    warehouse_rows: int | None = None
    newest_loaded: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leader:
    """The elected loader; `silent_seconds`: since it last gave a sign of life."""

    host: str
    pid: int
    since: datetime
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that somebody should know, and what to do."""

    level: Level
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole path; `loading` says whether a loader is elected now.

    `waiting_changes`: changed rows of dimensions that wait (counted up to 10 000); `oldest_write_seconds`: how long
    the oldest open write transaction of the cluster has been open; its rows come when it ends. `warehouse`: `ok`, or
    why ClickHouse does not answer; all else is told by the record. `findings`: what audits found and nobody settled.
    """

    as_of: datetime
    loading: bool
    pipelines: tuple[PipelineStatus, ...]
    waiting_changes: int
    dead_letters: int
    oldest_write_seconds: float
    leader: Leader | None = None
    warehouse: str = "ok"
    letters: dict[str, int] = field(default_factory=dict)
    audits: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    dimensions: PipelineStatus | None = None

    @property
    def lag_seconds(self) -> float:
        """The greatest lag of all."""
        return max(pipeline.lag_seconds for pipeline in self.pipelines)

    @property
    def problems(self) -> list[Problem]:
        """What is not as it should be, the worst first."""
        return sorted(_problems(self), key=lambda problem: -problem.level)

    @property
    def level(self) -> Level:
        """The worst of the problems."""
        return max((problem.level for problem in self.problems), default=Level.WELL)


async def read_status(postgres: Postgres, warehouse: Warehouse, *, exact: bool = False) -> Status:
    """Look at both sides; `exact` counts the record's rows too (slow on a large one).

    Raises `Unavailable` when the record is away; without ClickHouse the record tells what it knows.
    """
    async with postgres.transaction() as connection:
        records = [await _record_side(connection, pipeline, exact=exact) for pipeline in FACTS]
        changes = await _waiting_changes(connection)
        letters = {row["stage"]: row["n"] for row in await _all(connection, _LETTERS)}
        oldest = await _one(connection, _OLDEST_WRITE)
        leader = await _leader(connection)
        audits, findings, jobs = [await _all(connection, query) for query in (_AUDITS, _FINDINGS, _JOBS)]
        dimensions = await _dimensions(connection)
    pipelines, state = await _with_warehouse(warehouse, records)
    for pipeline in pipelines:
        load_lag.labels(pipeline.name).set(pipeline.lag_seconds)
    return Status(
        as_of=now(),
        loading=leader is not None,
        pipelines=pipelines,
        waiting_changes=changes,
        dead_letters=sum(letters.values()),
        oldest_write_seconds=oldest["seconds"],
        leader=leader,
        warehouse=state,
        letters=letters,
        audits=audits,
        findings=findings,
        jobs=jobs,
        dimensions=dimensions,
    )


def _problems(status: Status) -> Iterator[Problem]:
    if status.warehouse != "ok":
        yield Problem(
            Level.CRITICAL,
            f"ClickHouse does not answer ({status.warehouse}).",
            "Start it; the record keeps everything meanwhile, and the loader goes on by itself.",
        )
    if status.leader is None:
        yield Problem(Level.CRITICAL, "No loader is running.", "Start `eduanalytics load` (or the server).")
    elif status.leader.silent_seconds > _SILENT_SECONDS:
        yield Problem(
            Level.WARNING,
            f"The loader has been silent for {status.leader.silent_seconds:.0f} s.",
            f"Look at process {status.leader.pid} on {status.leader.host}; another loader takes over if there is one.",
        )
    for pipeline in (*status.pipelines, *([status.dimensions] if status.dimensions else [])):
        yield from _of_pipeline(pipeline)
    for found in status.findings:
        yield Problem(
            Level.CRITICAL,
            f"{found['rows']} rows of {found['pipeline']} are {found['kind']} in ClickHouse.",
            "Run `eduanalytics pipeline audit --repair`; --remove takes away what only ClickHouse has.",
        )
    if status.oldest_write_seconds > _LONG_WRITE_SECONDS:
        yield Problem(
            Level.WARNING,
            f"A write transaction has been open for {status.oldest_write_seconds:.0f} s.",
            "Its rows come when it ends; pg_stat_activity names it.",
        )


def _of_pipeline(pipeline: PipelineStatus) -> Iterator[Problem]:
    if pipeline.trouble:
        yield Problem(
            Level.CRITICAL,
            f"{pipeline.name} waits: {pipeline.trouble[:300]}",
            "Mend the cause; loading goes on by itself. docs/how-to/pipeline.md names the causes.",
        )
    elif pipeline.lag_seconds > _LATE_SECONDS:
        yield Problem(
            Level.WARNING, f"{pipeline.name} is {pipeline.lag_seconds:.0f} s behind.", "Wait, or see the log."
        )
    if pipeline.refused_rows:
        yield Problem(
            Level.WARNING,
            f"ClickHouse has refused {pipeline.refused_rows} rows of {pipeline.name}.",
            "See the dead letters of stage load.",
        )


async def _leader(connection: Connection) -> Leader | None:
    rows = await _all(connection, HOLDER, {"lock": LOCK})
    if not rows:
        return None
    host, _, pid = rows[0]["application_name"].removeprefix(f"{NAME} ").rpartition(":")
    silence: timedelta = rows[0]["silence"] or timedelta()
    number = int(pid) if pid.isdigit() else 0
    return Leader(host, number, rows[0]["backend_start"], max(silence.total_seconds(), 0.0))


async def _record_side(connection: Connection, pipeline: Pipeline, *, exact: bool) -> PipelineStatus:
    batches = await _one(connection, _NAMED + _BATCHES, {"name": pipeline.name})
    counted = await _one(connection, f"select count(*) as n from {pipeline.name}") if exact else {"n": None}
    return PipelineStatus(
        name=pipeline.name,
        lag_seconds=await _lag(connection, pipeline),
        record_rows=counted["n"],
        **_facts(batches),
    )


async def _dimensions(connection: Connection) -> PipelineStatus:
    batches = await _one(connection, _NAMED + _BATCHES, {"name": DIMENSIONS})
    return PipelineStatus(name=DIMENSIONS, lag_seconds=0, record_rows=None, **_facts(batches))


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "shipped_rows": int(row["shipped"]),
        "last_batch": row["last_batch"],
        "last_batch_at": row["last_batch_at"],
        "prepared_batches": row["prepared"],
        "attempt": row["attempt"],
        "prepared_at": row["prepared_at"],
        "refused_rows": row["refused"],
        "trouble": row["trouble"],
        "failing_since": row["failing_since"],
        "failures": row["failures"],
    }


async def _with_warehouse(
    warehouse: Warehouse, records: list[PipelineStatus]
) -> tuple[tuple[PipelineStatus, ...], str]:
    """What ClickHouse has of each pipeline, and `ok`; while it is away, the reason instead."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return tuple([await _beside(warehouse, record) for record in records]), "ok"
    except TimeoutError:
        return tuple(records), "timeout"
    except EduError as error:
        return tuple(records), error.code


async def _beside(warehouse: Warehouse, record: PipelineStatus) -> PipelineStatus:
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
        return [window_parameters(BEFORE_ALL, current, START, limit)]
    done, floor = Snapshot.parse(row["done"]), row["floor_seq"]
    if row["target"] is None:
        return [window_parameters(done, current, START, limit, floor)]
    target, key = Snapshot.parse(row["target"]), Key(int(row["key_xid"]), row["key_seq"])
    return [window_parameters(done, target, key, limit, floor), window_parameters(target, current, START, limit, floor)]


async def _one(connection: Connection, query: str, parameters: Any = None) -> dict[str, Any]:
    return (await _all(connection, query, parameters))[0]


async def _all(connection: Connection, query: str, parameters: Any = None) -> list[dict[str, Any]]:
    return await (await connection.execute(query, parameters)).fetchall()
