"""How fast a month leaves the record and comes back, and what a row costs where.

One month of events and answers of 20 schools, of the made-up kind, over embedded stores; a folder is the archive.
Writing includes reading back and comparing every value; dropping compares three stores once more.
Bound: ClickHouse's own Parquet of the same rows, written once and not looked at.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from benchmarks.freshness import _FILL
from benchmarks.table import peak_mb, show
from core.clock import now
from core.embedded import Stores, open_stores
from core.settings import Settings
from ingestion.archive.dropping import drop
from ingestion.archive.erasure import erase
from ingestion.archive.export import export
from ingestion.archive.manifest import Month, files_of, office
from ingestion.archive.restore import checked, into_record, into_warehouse
from ingestion.archive.store import Store, open_store
from ingestion.archive.tiers import months_before
from ingestion.batches import Blocking
from ingestion.loader import Loader
from ingestion.partitions import ensure_months

T = TypeVar("T")
_AT = "%(start)s::timestamptz + i * interval '4 seconds'"
_WORLD = """
insert into schools (id, name) select i, 'School ' || i from generate_series(0, 19) i;
insert into users (id, school_id, role, name)
    select i, i %% 20, 'student', 'Student ' || i from generate_series(0, 17999) i;
insert into quizzes (id, title) values (1, 'Quiz');
insert into questions (id, title) select i, 'Question ' || i from generate_series(0, 3999) i;
insert into quiz_sessions (id, school_id, quiz_id, opened_at) select i, i, 1, '{start}' from generate_series(0, 19) i;
"""
_ANSWERS = (
    """
insert into responses (response_id, school_id, classroom_id, session_id, quiz_id, question_id, student_id,
                       attempt_number, choice, correct, score, time_spent_ms, submitted_at)
select (lpad(to_hex((extract(epoch from %(start)s::timestamptz) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(i::text), 1, 3) || 'b' || substr(md5('r' || i::text), 1, 15))::uuid,
       i %% 20, i %% 600, i %% 20, 1, i %% 4000, i %% 18000, 1, chr(65 + i %% 4), i %% 3 = 0, (i %% 3 = 0)::int,
       (i * 7919) %% 90000, """
    + _AT
    + " from generate_series(1, %(rows)s) i"
)


async def _fill(stores: Stores, start: datetime, rows: int) -> None:
    events = _FILL.replace("now() - i * interval '1 ms'", _AT).replace("i %% 1000, i %% 900000", "i %% 20, i %% 18000")
    async with stores.postgres.transaction() as connection:
        await connection.execute("set statement_timeout = 0")
        await ensure_months(connection, [start])
        await connection.execute(_WORLD.replace("%%", "%").replace("{start}", start.isoformat()).encode())
        for statement in (events, _ANSWERS):
            await connection.execute(statement, {"start": start, "rows": rows})
    loader = Loader(stores.postgres, stores.warehouse, stores.settings)
    await loader.drain()
    await loader.close()


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _month(stores: Stores, connection: Blocking, store: Store, month: Month, rows: int) -> tuple[list[object], ...]:
    """What each step took, and the bytes of a row."""
    size = "select pg_total_relation_size(%s::regclass) as size"
    record = connection.execute(size, (month.partition,)).fetchall()[0]["size"]
    in_clickhouse = stores.warehouse.call(
        lambda client: client.query(
            f"SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = '{month.fact.table}'"
        )
    ).result_rows[0][0]
    bound, _ = _timed(
        lambda: stores.warehouse.call(
            lambda client: client.raw_query(f"SELECT * FROM {month.fact.table}", fmt="Parquet")
        )
    )
    warehouse, until = stores.warehouse, now() + timedelta(days=1)
    steps: list[tuple[str, float]] = [("bound: Parquet alone", bound)]
    steps.append(("write, read back, compare", _timed(lambda: export(connection, warehouse, store, month))[0]))
    held = sum(file.size for file in files_of(connection, month))
    steps.append(("compare again, detach, drop", _timed(lambda: drop(connection, warehouse, month))[0]))
    steps.append(("verify", _timed(lambda: list(checked(connection, warehouse, store, month)))[0]))
    person = 4242
    steps.append(("erase a person (1 of 20 files)", _timed(lambda: erase(connection, warehouse, store, person, 2))[0]))
    warehouse.call(lambda client: client.command(f"TRUNCATE TABLE {month.fact.table}"))
    connection.execute("update batches set rows = 0")
    steps.append(
        ("restore into ClickHouse", _timed(lambda: into_warehouse(connection, warehouse, store, month, until))[0])
    )
    steps.append(("restore into Postgres", _timed(lambda: into_record(connection, warehouse, store, month, until))[0]))
    name = month.fact.table
    speeds: list[object] = [(f"{name}: {what}", took, rows / took, held / took / 1e6) for what, took in steps]
    return speeds, [(name, record / rows, in_clickhouse / rows, held / rows, record / held)]


async def main(rows: int = 200_000) -> None:
    """Print both tables."""
    start = months_before(now(), 14)
    with tempfile.TemporaryDirectory(prefix="edu-archive-") as folder:
        settings = Settings(data_dir=Path(folder), archive_url=f"{folder}/archive", archive_rest_hours=0)
        store = open_store(settings)
        async with open_stores(settings) as stores:
            await _fill(stores, start, rows)
            speeds, sizes = [], []
            with office(stores.postgres.url) as connection:
                for table in ("events", "responses"):
                    month = Month.of(table, start.date())
                    assert store is not None
                    took, bytes_of = await asyncio.to_thread(_month, stores, connection, store, month, rows)
                    speeds += took
                    sizes += bytes_of
    show(f"A month of {rows:,} rows, 20 schools", ["step", "seconds", "rows/s", "MB/s of files"], speeds)  # type: ignore[arg-type]
    show("Bytes a row", ["table", "Postgres", "ClickHouse", "archive", "Postgres / archive"], sizes)  # type: ignore[arg-type]
    show("Memory", ["", "MB"], [("peak of the process", peak_mb())])


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
