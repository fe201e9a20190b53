"""After an outage: how fast the loader catches up, what bounds it, and whether people notice.

The bounds, in the same run on the same rows: reading them out of Postgres by a bare COPY and nothing else, inserting
the same blocks into an equal ClickHouse table and nothing else. Then a server is started over a backlog, and the same
client asks it at an even pace while it catches up and afterwards.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psycopg

from api.cli.client import mint, operator
from benchmarks.freshness import fill
from benchmarks.http import Connection, _connect, light, serving
from benchmarks.table import percentile, show
from core.embedded import Stores, open_stores
from core.settings import Settings
from ingestion.batches import Batch, look, read_progress, read_rows
from ingestion.facts import put
from ingestion.loader import Loader
from ingestion.pipelines import EVENTS
from ingestion.term import elect

_ROUNDS = 3
_PACE = 0.02
_BARE_COPY = "copy (select * from events) to stdout"
_ASKING_SECONDS = 20.0
_LOADED = "select coalesce(sum(rows), 0) from batches where pipeline = 'events' and state = 'committed'"


async def _loading(rows: int) -> tuple[float, float, float]:
    """Rows a second: the loader, the bare COPY, the bare insert; medians of rounds one after the other."""
    with tempfile.TemporaryDirectory(prefix="edu-catch-up-") as folder:
        async with open_stores(Settings(data_dir=Path(folder))) as stores:
            await fill(stores.postgres, rows)
            rounds = [await _round(stores, rows) for _ in range(_ROUNDS)]
    ours, copied, inserted = zip(*rounds, strict=True)
    return median(ours), median(copied), median(inserted)


async def _round(stores: Stores, rows: int) -> tuple[float, float, float]:
    copied = await asyncio.to_thread(_timed, lambda: _copy_out(stores.postgres.url))
    blocks = await asyncio.to_thread(_blocks, stores)
    await stores.warehouse.command("CREATE OR REPLACE TABLE bare AS events")
    inserted = await asyncio.to_thread(_timed, lambda: _insert(stores, blocks))
    await stores.warehouse.command("DROP TABLE bare")
    sent = sum(batch.rows for batch, _ in blocks)
    loader = Loader(stores.postgres, stores.warehouse, stores.settings)
    began = time.perf_counter()
    loaded = await loader.load()
    elapsed = time.perf_counter() - began
    await loader.close()
    await stores.warehouse.command("TRUNCATE TABLE events")
    return loaded / elapsed, rows / copied, sent / inserted


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _copy_out(url: str) -> None:
    with psycopg.connect(url) as connection, connection.cursor().copy(_BARE_COPY) as copy:
        for _ in copy:
            pass


def _blocks(stores: Stores) -> list[tuple[Batch, list[bytes]]]:
    term = elect(stores.postgres.url, stores.warehouse, stores.settings.batch_rows)
    assert term
    from ingestion.rebuild import rebuild

    rebuild(term)
    found: list[tuple[Batch, list[bytes]]] = []
    progress = read_progress(term.connection, EVENTS.name)
    while len(found) < 4 and (batch := look(term.connection, EVENTS, progress, term.batch_rows)):
        found.append((batch, read_rows(term.connection, EVENTS, batch)))
        progress = progress.after(batch)
    term.end()
    return found


def _insert(stores: Stores, blocks: list[tuple[Batch, list[bytes]]]) -> None:
    for batch, lines in blocks:
        settings = {"async_insert": 0, "insert_deduplicate": 0, "max_insert_block_size": batch.rows + 1}
        put(stores.warehouse, "bare", EVENTS.names, lines, settings)


def _backlog(folder: Path, rows: int) -> None:
    """Fill the record of a folder, in a process of its own; nothing is loaded."""

    async def work() -> None:
        async with open_stores(Settings(data_dir=folder)) as stores:
            await fill(stores.postgres, rows)

    asyncio.run(work())


async def _asked(connection: Connection, again: Iterator[int], until: Callable[[], bool]) -> list[float]:
    """Milliseconds of each answer, one every twentieth of a second at the most."""
    times = []
    while not until():
        began = time.perf_counter()
        await connection.load(light(next(again)))
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(max(0.0, _PACE - (time.perf_counter() - began)))
    return times


class _Beside(NamedTuple):
    """Answers (ms) while it catches up and afterwards; rows a second while somebody asks, and while nobody does."""

    during: list[float]
    after: list[float]
    asked: float
    alone: float


async def _beside(url: str, token: str, database: str, rows: int) -> _Beside:
    numbers = iter(range(10**9))

    async def ask(seconds: float) -> list[float]:
        connection, end = await _connect(url, token), time.perf_counter() + seconds
        await connection.load(light(next(numbers)))
        return await _asked(connection, numbers, lambda: time.perf_counter() > end)

    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as record:

        async def loaded() -> int:
            return int((await (await record.execute(_LOADED)).fetchall())[0][0])

        before, began = await loaded(), time.perf_counter()
        during = await ask(_ASKING_SECONDS)
        meanwhile, middle = await loaded(), time.perf_counter()
        while await loaded() < rows:
            await asyncio.sleep(0.1)
        alone = (rows - meanwhile) / (time.perf_counter() - middle)
    return _Beside(during, await ask(_ASKING_SECONDS), (meanwhile - before) / (middle - began), alone)


@contextmanager
def _folder(rows: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edu-catch-up-") as name:
        filling = multiprocessing.get_context("spawn").Process(target=_backlog, args=(Path(name), rows))
        filling.start()
        filling.join()
        yield Path(name)


def main(rows: int = 500_000, backlog: int = 1_000_000) -> None:
    """Print both tables."""
    ours, copied, inserted = asyncio.run(_loading(rows))
    show(
        "Catching up, rows/s (bound 150,000)",
        ["", "rows/s", "ours / it"],
        [
            ("the loader", ours, 1.0),
            ("bare COPY out of Postgres", copied, ours / copied),
            ("bare insert of the same blocks", inserted, ours / inserted),
            ("both, one after the other", 1 / (1 / copied + 1 / inserted), ours * (1 / copied + 1 / inserted)),
        ],
    )
    with _folder(backlog) as folder:
        token = mint(Settings(data_dir=folder), operator(), timedelta(hours=1))
        with serving(folder) as url:
            import json

            database = json.loads((folder / "holder.json").read_text())["database_url"]
            found = asyncio.run(_beside(url, token, database, backlog))
    rest = [percentile(found.after, share) for share in (0.5, 0.95, 0.99)]
    busy = [percentile(found.during, share) for share in (0.5, 0.95, 0.99)]
    show(
        f"/load of one person at 50 a second, ms; it catches up with {found.asked:,.0f} rows/s meanwhile, and with"
        f" {found.alone:,.0f} when nobody asks (bound 1.2 at p95)",
        ["", "answers", "p50", "p95", "p99"],
        [
            ("nothing to load", len(found.after), *rest),
            ("while it catches up", len(found.during), *busy),
            ("ratio", "", *(one / other for one, other in zip(busy, rest, strict=True))),
        ],
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
