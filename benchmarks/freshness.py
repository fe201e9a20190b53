"""How soon a committed event can be queried.

Both stores are embedded, with their real settings (both fsyncs); one process accepts, commits, loads and watches.
The time runs from the acknowledgement of the commit to the first query that returns the row.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from benchmarks.table import percentile, show
from core.clock import now
from core.embedded import Stores, open_stores
from core.ids import derived_id, new_id
from core.postgres import Postgres
from core.settings import Settings
from ingestion.loader import Loader
from ingestion.partitions import ensure_months
from ingestion.staging import EventRow
from ingestion.writer import Writer

_PROPS = '{"question_id": 45, "answer": "B", "time_spent": 38.5, "attempt_number": 1}'
_SEEN = "SELECT event_id, batch FROM events WHERE batch > {batch:UInt64}"
_FILL = """
insert into events (event_id, school_id, user_id, classroom_id, quiz_id, question_id, event_name, app, occurred_at,
                    client_id, props)
select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(i::text || moment), 1, 3) || 'b' || substr(md5(moment || i::text), 1, 15))::uuid,
       i %% 1000, i %% 900000, i %% 30000, i %% 400, i %% 4000, 'answer_submitted', 'notebook', moment, 'c' || i,
       jsonb_build_object('question_id', i %% 4000, 'answer', 'B', 'time_spent', i %% 100, 'attempt_number', 1)
from (select i, now() - i * interval '1 ms' as moment from generate_series(1, %(rows)s) i) rows
"""


def _event(number: int) -> EventRow:
    moment = now()
    identifier = derived_id(moment, 1, new_id())
    place = (number % 900, number % 30, number % 40, None, number % 77)
    return EventRow(identifier, 1, *place, "answer_submitted", 1, "notebook", moment, None, _PROPS)


async def _produce(writer: Writer, rate: int, seconds: float, committed: dict[UUID, float]) -> None:
    """`rate` events a second in requests of a hundredth of a second each, whatever the answers take."""

    async def submit(rows: list[EventRow]) -> None:
        await writer.submit_events(rows)
        moment = time.perf_counter()
        committed.update((row.event_id, moment) for row in rows)

    began, step, pending = time.perf_counter(), rate // 100, []
    for tick in range(round(seconds * 100)):
        await asyncio.sleep(max(0.0, began + tick / 100 - time.perf_counter()))
        pending.append(asyncio.create_task(submit([_event(tick * step + number) for number in range(step)])))
    await asyncio.gather(*pending)


async def _watch(stores: Stores, seen: dict[UUID, float], stop: asyncio.Event) -> None:
    last = 0
    while not stop.is_set():
        rows = (await stores.warehouse.query(_SEEN, {"batch": last})).result_rows
        moment = time.perf_counter()
        for identifier, batch in rows:
            seen[identifier], last = moment, max(last, batch)
        await asyncio.sleep(0.005)


async def _freshness(stores: Stores, rate: int, seconds: float) -> tuple[object, ...]:
    committed: dict[UUID, float] = {}
    seen: dict[UUID, float] = {}
    stop = asyncio.Event()
    loader = Loader(stores.postgres, stores.warehouse, stores.settings)
    async with Writer(stores.postgres, stores.settings, loader.wake) as writer:
        tasks = [asyncio.create_task(loader.run(stop)), asyncio.create_task(_watch(stores, seen, stop))]
        await loader.drain()
        await _produce(writer, rate, seconds, committed)
        await loader.drain()
        await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*tasks)
    lags = [1000 * max(0.0, seen[identifier] - moment) for identifier, moment in committed.items()]
    figures = [percentile(lags, share) for share in (0.5, 0.95, 0.99, 1.0)]
    return (f"{rate:,} events/s for {seconds:.0f} s", len(lags), *figures)


async def fill(postgres: Postgres, rows: int) -> None:
    """So many committed events that nobody has loaded."""
    async with postgres.transaction() as connection:
        await ensure_months(connection, [now(), now() - timedelta(days=1)])
        await connection.execute("set local statement_timeout = 0")
        await connection.execute(_FILL, {"rows": rows})
    await postgres.fetch("analyze events")


async def main(seconds: float = 10) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="edu-freshness-") as folder:
        async with open_stores(Settings(data_dir=Path(folder))) as stores:
            fresh = [await _freshness(stores, rate, seconds) for rate in (400, 4_000)]
    show("Committed → queryable (ms; bound 250 at p99)", ["load", "events", "p50", "p95", "p99", "max"], fresh)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
