"""ClickHouse is derived from the record: empty tables are filled again, full ones are left alone."""

from __future__ import annotations

import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from tests.ingestion.test_recovery import insert, loaded


@pytest.mark.parametrize("lost", [["events"], ["schools"], ["events", "schools", "responses"]])
async def test_lost_tables_are_filled_again(
    lost: list[str], loader: Loader, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await postgres.fetch("insert into schools (name) values ('a'), ('b') returning id")
    ids = await insert(postgres, 130)
    await loader.drain()
    await loader.resign()
    for table in lost:
        await warehouse.command(f"TRUNCATE TABLE {table}")

    after = Loader(postgres, warehouse, settings)
    await after.load()
    await after.drain()
    await after.close()
    assert sorted(await loaded(warehouse)) == sorted(ids)
    assert (await warehouse.query("SELECT count() FROM schools FINAL")).result_rows == [(2,)]
    rows = await postgres.fetch("select count(distinct id) = count(*) as unique from batches where pipeline = 'events'")
    assert rows[0]["unique"]


async def test_a_new_loader_leaves_full_tables_alone(
    loader: Loader, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await insert(postgres, 60)
    await loader.drain()
    await loader.resign()
    before = await postgres.fetch("select * from batches order by id")
    after = Loader(postgres, warehouse, settings)
    await after.load()
    await after.close()
    assert await postgres.fetch("select * from batches order by id") == before
