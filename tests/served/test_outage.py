"""ClickHouse is killed, stays away, hangs and comes back: each committed row arrives once, and `status` answers."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest

from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from ingestion.loader import Loader
from ingestion.status import read_status
from tests.ingestion.rows import months
from tests.ingestion.sides import insert_events, once, there
from tests.served.conftest import free_port

_SCRIPT = Path(__file__).with_name("clickhouse_http.py")


class Front:
    """ClickHouse in a process of its own, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://default:@127.0.0.1:{self.port}/default?compress=false"
        self.start()

    def start(self) -> None:
        """Up, and listening."""
        words = [sys.executable, str(_SCRIPT), str(self.folder), str(self.port)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline().strip() == str(self.port)

    def kill(self) -> None:
        """Gone, as in a crash."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


async def test_killed_away_hanging_and_back(postgres: Postgres, tmp_path: Path) -> None:
    chance, ids, stop = random.Random(5), set[UUID](), asyncio.Event()
    front = Front(tmp_path / "clickhouse")
    warehouse = Warehouse(front.url, threads=3, seconds=2)
    await create_tables(warehouse)
    await months(postgres)
    settings = Settings(data_dir=tmp_path, batch_rows=40, loader_poll_ms=20)
    loader = Loader(postgres, warehouse, settings)
    running = asyncio.create_task(loader.run(stop))
    try:
        for _ in range(3):
            ids |= await insert_events(postgres, chance.randrange(1, 150))
            await asyncio.sleep(chance.uniform(0, 0.3))
            front.kill()
            ids |= await insert_events(postgres, chance.randrange(1, 150))
            await asyncio.sleep(0.5)
            status = await read_status(postgres, warehouse)
            assert status.warehouse == "unavailable"
            assert status.lag_seconds > 0
            front.start()
            await loader.drain(seconds=30)
            assert await there(warehouse) == once(ids)
        for _ in range(2):
            front.process.send_signal(signal.SIGSTOP)
            ids |= await insert_events(postgres, chance.randrange(1, 150))
            await asyncio.sleep(3)
            began = time.monotonic()
            assert (await read_status(postgres, warehouse)).warehouse != "ok"
            assert time.monotonic() - began < 12
            front.process.send_signal(signal.SIGCONT)
            await loader.drain(seconds=60)
            assert await there(warehouse) == once(ids)
        assert await _level(postgres, warehouse) == []
    finally:
        stop.set()
        await running
        await loader.close()
        warehouse.close()
        front.kill()


async def _level(postgres: Postgres, warehouse: Warehouse) -> list[str]:
    """What is wrong once the loader has had a moment."""
    for _ in range(50):
        problems = [problem.text for problem in (await read_status(postgres, warehouse)).problems]
        if not problems:
            break
        await asyncio.sleep(0.2)
    return problems


async def test_refused_rows_over_http(postgres: Postgres, clickhouse_url: str, tmp_path: Path) -> None:
    warehouse = Warehouse(clickhouse_url, threads=2)
    await warehouse.command("CREATE DATABASE IF NOT EXISTS refusing")
    warehouse.close()
    warehouse = Warehouse(clickhouse_url.replace("/default?", "/refusing?"), threads=2)
    await create_tables(warehouse)
    await months(postgres)
    loader = Loader(postgres, warehouse, Settings(data_dir=tmp_path, batch_rows=40))
    good = await insert_events(postgres, 5)
    await loader.drain()
    await warehouse.command("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != 'poison'")
    await insert_events(postgres, 3, "poison")
    good |= await insert_events(postgres, 60)
    await loader.drain()
    assert await there(warehouse) == once(good)
    assert len(await postgres.fetch("select 1 as n from dead_letters where stage = 'load'")) == 3
    await warehouse.command("RENAME TABLE events TO away")
    await insert_events(postgres, 3)
    with pytest.raises(EduError):
        await loader.load()
    assert len(await postgres.fetch("select 1 as n from dead_letters where stage = 'load'")) == 3
    await loader.close()
    warehouse.close()
