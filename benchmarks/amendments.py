"""What is changed afterwards: how soon a changed dimension, an erasure, a corrected key are seen by questions.

Both stores are embedded, with their real settings. Times run from the commit to the first query that shows the change;
events are committed beside it all the while.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.freshness import _FILL, _produce
from benchmarks.table import percentile, show
from core.clock import now
from core.embedded import Stores, open_stores
from core.settings import Settings
from ingestion.amendments.queue import Kind, ask
from ingestion.loader import Loader
from ingestion.partitions import ensure_ahead, ensure_months
from ingestion.writer import Writer

_SCHOOL = """
with school as (insert into schools (name) values ('Bench') returning id),
     people as (insert into users (school_id, role, name) select id, 'student', 'p' || n from school,
                generate_series(1, 1000) n returning id, school_id),
     quiz as (insert into quizzes (school_id, title) select id, 'q' from school returning id),
     question as (insert into questions (school_id, title, qtype, options, answer_key)
                  select id, 'q', 'single_choice', '["A", "B", "C", "D"]', 'A' from school returning id)
insert into quiz_questions (quiz_id, quiz_version, position, question_id)
select quiz.id, 1, 1, question.id from quiz, question
"""
_SITTING = """
insert into quiz_sessions (school_id, quiz_id, mode)
select (select max(id) from schools), (select max(id) from quizzes), 'live' returning id
"""
_ANSWERS = """
insert into responses (response_id, school_id, session_id, quiz_id, question_id, student_id, attempt_number, choice,
                       correct, score, submitted_at)
select overlay(gen_random_uuid()::text placing left(first_of(s.opened_at)::text, 13) || '-7' from 1 for 15)::uuid,
       s.school_id, s.id, s.quiz_id, (select max(id) from questions), u.id, n, chr(65 + n %% 4), n %% 4 = 0,
       (n %% 4 = 0)::int, now()
from quiz_sessions s, (select id from users where role = 'student' order by id limit 1000) u,
     generate_series(1, %(each)s) n
"""


async def _changes(stores: Stores, loader: Loader, seconds: float) -> list[float]:
    """The milliseconds from each rename's commit to its being seen."""
    lags, end, number = [], time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        await stores.postgres.fetch("update users set name = %s where id = 7", [f"n{number}"])
        loader.wake()  # as the API does
        began = time.perf_counter()
        query = "SELECT name FROM users FINAL WHERE id = 7"
        while True:
            rows = (await stores.warehouse.query(query)).result_rows
            if rows and rows[0][0] == f"n{number}":
                break
            await asyncio.sleep(0.005)
        lags.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.02)
    return lags


async def _dimensions(stores: Stores, loader: Loader, rate: int, seconds: float) -> tuple[object, ...]:
    async with Writer(stores.postgres, stores.settings, loader.wake) as writer:
        work = _produce(writer, rate, seconds, {}) if rate else asyncio.sleep(0)
        lags, _ = await asyncio.gather(_changes(stores, loader, seconds), work)
    figures = [percentile(lags, share) for share in (0.5, 0.95, 0.99, 1.0)]
    return (f"a rename, {rate:,} events/s beside it", len(lags), *figures)


async def _until(stores: Stores, query: str, value: int) -> float:
    began = time.perf_counter()
    while (await stores.warehouse.query(query)).result_rows[0][0] != value:
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


async def _amend(
    stores: Stores, loader: Loader, kind: Kind, subject: int, query: str, value: int
) -> tuple[float, float]:
    """Seconds until it is seen, and until it is done (on disk)."""
    async with stores.postgres.transaction() as connection:
        if kind == "regrade":
            await connection.execute("update questions set answer_key = 'B' where id = %s", [subject])
        made = await ask(connection, kind, subject, 1, (None, "operator"), settle_seconds=0)
    loader.wake()
    began = time.perf_counter()
    seen = await _until(stores, query, value)
    while not await stores.postgres.fetch("select 1 as n from amendments where id = %s and state = 'done'", [made.id]):
        await asyncio.sleep(0.01)
    return seen, time.perf_counter() - began


async def main(seconds: float = 5, rows: int = 400_000) -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="edu-amendments-") as folder:
        async with open_stores(Settings(data_dir=Path(folder))) as stores:
            await stores.postgres.fetch(_SCHOOL)
            await stores.postgres.fetch(_SITTING)
            async with stores.postgres.transaction() as connection:
                await ensure_ahead(connection)
                await ensure_months(connection, [now(), now() - timedelta(days=1)])
                await connection.execute(_FILL, {"rows": rows})
                await connection.execute(_ANSWERS, {"each": rows // 4000})
            loader, stop = Loader(stores.postgres, stores.warehouse, stores.settings), asyncio.Event()
            task = asyncio.create_task(loader.run(stop))
            await loader.drain(600)
            fresh = [await _dimensions(stores, loader, rate, seconds) for rate in (0, 2_000)]
            told = await _told(stores, loader, rows)
            stop.set()
            await task
    show("Changed → queryable (ms; bound 1,000)", ["change", "times", "p50", "p95", "p99", "max"], fresh)
    show("Amendments", ["", "rows concerned", "seconds until seen", "seconds until on disk"], told)


async def _told(stores: Stores, loader: Loader, rows: int) -> list[tuple[object, ...]]:
    told: list[tuple[object, ...]] = []
    counted = "SELECT count() FROM responses WHERE student_id = 5"
    (number,) = (await stores.warehouse.query(counted)).result_rows[0]
    name = f"one person erased among {rows:,} events and {rows // 4:,} answers"
    told.append((name, number, *await _amend(stores, loader, "erasure", 5, counted, 0)))
    (question,) = await stores.postgres.fetch("select max(id) as id from questions")
    right = "SELECT countIf(correct) FROM responses WHERE choice = 'B'"
    (wanted,) = (await stores.warehouse.query("SELECT countIf(choice = 'B') FROM responses")).result_rows[0]
    done = await _amend(stores, loader, "regrade", question["id"], right, wanted)
    told.append(("answers to one question marked anew", 2 * wanted, *done))
    return told


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5))
