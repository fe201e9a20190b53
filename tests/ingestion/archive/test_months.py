"""Nothing is lost on the way out, and everything comes back as it was."""

from __future__ import annotations

import io
from collections import Counter
from uuid import UUID

import psycopg
import pyarrow.parquet as pq
import pytest

from core.clock import now
from core.postgres import Postgres, connect
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.manifest import Month, find_files
from ingestion.archive.months import listed, plan, run, verify
from ingestion.archive.restore import into_record, into_warehouse
from ingestion.archive.store import Folder
from ingestion.batches import Blocking
from ingestion.loader import Loader
from tests.ingestion.archive.world import both, facts, make_world, months_ago


def months(age: int) -> list[Month]:
    """The months of both tables."""
    return [Month.of(table, months_ago(age).date()) for table in ("events", "responses")]


async def test_what_leaves_the_record_is_in_the_files_value_by_value(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [15, 14, 13, 2])
    before, cubes = await both(postgres), await facts(warehouse, batches=True)
    assert all(len(rows) == 320 for rows in before.values())

    steps = list(run(connection, warehouse, store, settings))
    assert [(str(step.month)[:6], step.what, step.rows, step.problem) for step in steps] == [
        ("events", "archive", 80, None), ("respon", "archive", 80, None),
        ("events", "archive", 80, None), ("respon", "archive", 80, None),
    ]  # fmt: skip
    assert list(run(connection, warehouse, store, settings)) == []

    after = await both(postgres)
    assert all(len(rows) == 160 for rows in after.values())
    assert await facts(warehouse, batches=True) == cubes
    assert [line["problems"] for line in verify(connection, warehouse, store)] == [[]] * 4
    assert {row["state"] for row in listed(connection)} == {"archived"}
    for age in (15, 14):
        for month in months(age):
            assert into_record(connection, warehouse, store, month, now()) == 80
            assert into_record(connection, warehouse, store, month, now()) == 0
    assert await both(postgres) == before
    await loader.drain()
    assert await facts(warehouse, batches=True) == cubes

    assert len(list(run(connection, warehouse, store, settings))) == 4
    assert await both(postgres) == after
