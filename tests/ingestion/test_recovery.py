"""Killed at any point, the path brings each row exactly once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.batches import Damaged
from ingestion.failpoints import armed
from ingestion.loader import Loader
from tests.ingestion.rows import INSERT_EVENT, event, months

ROOT = Path(__file__).resolve().parents[2]


class Crash(Exception):
    """What a fail point throws: nobody catches it."""


def crash() -> None:
    """End this pass as a crash would."""
    raise Crash


async def insert(postgres: Postgres, count: int) -> set[UUID]:
    """Commit some events; their ids."""
    rows = [event() for _ in range(count)]
    async with postgres.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(INSERT_EVENT, rows)
    return {row["event_id"] for row in rows}


async def loaded(warehouse: Warehouse) -> list[UUID]:
    """The event ids in ClickHouse."""
    return [row[0] for row in (await warehouse.query("SELECT event_id FROM events")).result_rows]


@pytest.mark.parametrize("point", ["prepared", "inserting", "inserted", "committed"])
async def test_a_crash_at_each_point_loses_and_doubles_nothing(
    point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    before = Loader(postgres, warehouse, settings)
    await before.drain()
    ids = await insert(postgres, 130)
    with armed(point, crash), pytest.raises(Crash):
        await before.load()
    await before.close()
    ids |= await insert(postgres, 7)
    after = Loader(postgres, warehouse, settings)
    await after.drain()
    await after.close()
    assert sorted(await loaded(warehouse)) == sorted(ids)
    assert await postgres.fetch("select 1 as n from batches where state = 'prepared'") == []


async def test_a_crash_during_the_recovery_itself(postgres: Postgres, warehouse: Warehouse, settings: Settings) -> None:
    await months(postgres)
    ids = await insert(postgres, 60)
    for point in ("inserted", "recovered", "recovered", "inserted"):
        loader = Loader(postgres, warehouse, settings)
        with armed(point, crash), pytest.raises(Crash):
            await loader.drain()
        await loader.close()
    loader = Loader(postgres, warehouse, settings)
    await loader.drain()
    await loader.close()
    assert sorted(await loaded(warehouse)) == sorted(ids)


async def test_a_torn_insert_is_completed(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await loader.drain()
    ids = await insert(postgres, 40)
    with armed("inserted", crash), pytest.raises(Crash):
        await loader.load()
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 3 = 0")
    left = len(await loaded(warehouse))
    assert 0 < left < 40
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted(ids)


async def test_a_batch_that_holds_more_than_it_should_stops_the_loader(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await loader.drain()
    await insert(postgres, 5)
    with armed("inserted", crash), pytest.raises(Crash):
        await loader.load()
    await warehouse.command("INSERT INTO events SETTINGS async_insert = 0 SELECT * FROM events")
    with pytest.raises(Damaged):
        await loader.load()


async def test_a_paused_loader_that_wakes_after_its_successor_is_shut_out(
    postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    old, new = Loader(postgres, warehouse, settings), Loader(postgres, warehouse, settings)
    await old.drain()
    ids = await insert(postgres, 10)
    epochs = await postgres.fetch("select name, epoch from pipelines")

    def lose_office() -> None:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("update pipelines set epoch = epoch + 1")

    with armed("prepared", lose_office):
        await old._try_pass()
    assert not old.leads
    assert {row["epoch"] for row in await postgres.fetch("select epoch from pipelines")} != {e["epoch"] for e in epochs}
    await new.drain()
    assert sorted(await loaded(warehouse)) == sorted(ids)
    await old.close()
    await new.close()


CHILD = """
import asyncio, sys
from pathlib import Path
from core.settings import Settings
from core.tables import create_tables
from core.telemetry import configure_logging
from core.warehouse import Warehouse
from ingestion.loader import Loader

async def main(url, folder):
    warehouse = Warehouse(f"chdb://{folder}", threads=1)
    await create_tables(warehouse)
    settings = Settings(data_dir=Path(folder), batch_rows=40, loader_poll_ms=10)
    configure_logging(settings)
    loader = Loader(url, warehouse, settings)
    if sys.argv[3] == "finish":
        await loader.drain()
        rows = (await warehouse.query("SELECT toString(event_id) FROM events")).result_rows
        print("\\n".join(row[0] for row in rows))
        await loader.close()
        warehouse.close()
    else:
        print("ready", flush=True)
        await loader.run(asyncio.Event())

asyncio.run(main(*sys.argv[1:3]))
"""


def child(url: str, folder: Path, task: str) -> subprocess.Popen[str]:
    """A process with its own ClickHouse folder that loads until it is killed, or finishes and prints the ids."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD, url, str(folder), task]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ})


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.nightly)])
async def test_kill_minus_nine(seed: int, postgres_url: str, postgres: Postgres, tmp_path: Path) -> None:
    """A loader is killed again and again while rows are committed, some rolled back."""
    chance = random.Random(seed)
    await months(postgres)
    committed: set[UUID] = set()
    for _ in range(2):
        process = child(postgres_url, tmp_path / "clickhouse", "run")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end = time.monotonic() + chance.uniform(0.3, 0.9)
        while time.monotonic() < end:
            committed |= await insert(postgres, chance.randrange(1, 90))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    committed |= await insert(postgres, 11)
    last = child(postgres_url, tmp_path / "clickhouse", "finish")
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0
    assert sorted(output.split()) == sorted(map(str, committed))


async def test_a_killed_postgres_loses_no_acknowledged_row(
    stores_folder: Path, tmp_path: Path, warehouse: Warehouse
) -> None:
    """What was committed before the kill is there afterwards, and arrives once."""
    server = PostgresServer(stores_folder / "killed", {"shared_buffers": "32MB"})
    url = server.start()
    migrate(url)
    postgres = Postgres(url, 2)
    await postgres.open()
    await months(postgres)
    settings = Settings(data_dir=tmp_path, batch_rows=50)
    loader = Loader(url, warehouse, settings)
    ids = await insert(postgres, 60)
    await loader.drain()
    ids |= await insert(postgres, 60)
    await postgres.close()
    pid = int((stores_folder / "killed" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while await loader._try_pass() or Path("/proc", str(pid)).exists():
        await asyncio.sleep(0.05)
    assert not loader.leads
    url = server.start()
    await loader.drain()
    await loader.close()
    server.stop()
    assert sorted(await loaded(warehouse)) == sorted(ids)
