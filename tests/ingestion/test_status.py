"""The status says how far ClickHouse is behind, and why."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import psycopg
import pytest
from prometheus_client import generate_latest

from core.errors import Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.failpoints import armed
from ingestion.gauges import Gauges
from ingestion.loader import Loader
from ingestion.status import Level, read_status
from tests.ingestion.rows import INSERT_EVENT, event
from tests.ingestion.test_recovery import Crash, crash, insert


async def test_a_new_installation_is_not_behind(postgres: Postgres, warehouse: Warehouse) -> None:
    status = await read_status(postgres, warehouse, exact=True)
    assert status.lag_seconds == 0
    assert not status.loading
    assert [(pipeline.name, pipeline.record_rows, pipeline.warehouse_rows) for pipeline in status.pipelines] == [
        ("responses", 0, 0),
        ("events", 0, 0),
        ("audit_log", 0, 0),
    ]


async def test_rows_on_both_sides_and_the_lag(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await insert(postgres, 60)
    await loader.drain()
    await insert(postgres, 3)
    await postgres.fetch("insert into schools (name) values ('new')")
    await asyncio.sleep(0.05)
    behind = await read_status(postgres, warehouse, exact=True)
    events = behind.pipelines[1]
    assert (events.record_rows, events.shipped_rows, events.warehouse_rows) == (63, 60, 60)
    assert (events.last_batch, events.prepared_batches, behind.waiting_changes) == (2, 0, 1)
    assert 0.05 <= behind.lag_seconds < 10
    assert behind.loading
    await loader.drain()
    level = await read_status(postgres, warehouse)
    assert (level.lag_seconds, level.waiting_changes, level.pipelines[1].warehouse_rows) == (0, 0, 63)
    assert level.pipelines[1].record_rows is None
    assert level.pipelines[1].newest_loaded is not None


async def test_an_unconfirmed_batch_and_an_open_write_are_seen(
    postgres_url: str, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await loader.drain()
    await insert(postgres, 5)
    with armed("prepared", crash), pytest.raises(Crash):
        await loader.load()
    async with await psycopg.AsyncConnection.connect(postgres_url) as slow:
        await slow.execute(INSERT_EVENT, event())
        await asyncio.sleep(0.05)
        status = await read_status(postgres, warehouse)
        await slow.rollback()
    assert status.pipelines[1].prepared_batches == 1
    assert status.lag_seconds > 0.05
    assert status.oldest_write_seconds >= 0.05


async def test_without_clickhouse_the_record_tells_what_it_knows(postgres: Postgres, loader: Loader) -> None:
    await insert(postgres, 5)
    await loader.drain()
    away = Warehouse("http://127.0.0.1:9/default", threads=1)
    await insert(postgres, 3)
    status = await read_status(postgres, away, exact=True)
    away.close()
    events = status.pipelines[1]
    assert (events.record_rows, events.shipped_rows, events.warehouse_rows) == (8, 5, None)
    assert status.warehouse == "unavailable"
    assert status.level is Level.CRITICAL
    assert "ClickHouse does not answer" in status.problems[0].text


async def test_who_leads_and_what_troubles_it(
    postgres: Postgres, warehouse: Warehouse, settings: Settings, loader: Loader
) -> None:
    assert "No loader" in (await read_status(postgres, warehouse)).problems[0].text
    await loader.drain()
    leader = (await read_status(postgres, warehouse)).leader
    assert leader is not None
    assert (leader.pid, leader.host) == (os.getpid(), socket.gethostname()[:30])
    assert leader.silent_seconds < 5
    away = Loader(postgres, Warehouse("http://127.0.0.1:9/default", threads=1), settings)
    await loader.resign()
    async with asyncio.timeout(20):
        for _ in range(3):
            with pytest.raises(Unavailable):
                while True:  # the office is free once Postgres has noticed that its holder is gone
                    await away.load()
    status = await read_status(postgres, warehouse)
    assert [pipeline.failures for pipeline in status.pipelines] == [3, 3, 3]
    assert all("unavailable" in str(pipeline.trouble) for pipeline in status.pipelines)
    assert status.pipelines[0].failing_since is not None
    await away.close()
    await loader.load()
    after = await read_status(postgres, warehouse)
    assert [pipeline.trouble for pipeline in (*after.pipelines, after.dimensions)] == [None] * 4  # type: ignore[union-attr]
    assert (after.level, after.problems) == (Level.WELL, [])


async def test_a_half_open_connection_ends(postgres: Postgres, settings: Settings) -> None:
    """Something listens, takes the bytes and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/default"
        away = Loader(postgres, Warehouse(url, threads=1, seconds=1), settings)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await away.load()
        assert time.monotonic() - began < 20
        await away.close()


async def test_gauges(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await insert(postgres, 5)
    await loader.drain()
    await Gauges(postgres, warehouse).refresh()
    text = generate_latest().decode()
    for line in ('store_up{store="clickhouse"} 1.0', "loader_elected 1.0", 'loader_failures{pipeline="events"} 0.0'):
        assert line in text
