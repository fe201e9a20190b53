"""The status says how far ClickHouse is behind, and why."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from core.postgres import Postgres
from core.warehouse import Warehouse
from ingestion.failpoints import armed
from ingestion.loader import Loader
from ingestion.status import read_status
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
