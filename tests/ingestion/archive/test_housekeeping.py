"""The elected loader's process keeps house; status says how it went."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import time_machine

from core.clock import now
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.housekeeping import Housekeeping, read_housekeeping
from ingestion.archive.manifest import office
from ingestion.archive.months import listed
from ingestion.loader import Loader
from ingestion.partitions import month_of, next_month
from tests.ingestion.archive.world import facts, make_world, manifest_balances


async def test_an_hour(postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings) -> None:
    await make_world(postgres, loader, [40, 14, 5])
    await postgres.fetch("update schools set retention_months = 3 where id = 2")
    keeping = Housekeeping(postgres, warehouse, settings, loader)
    version = loader.data_version
    result = await keeping.tend()
    assert result["removed"]["events"] == 120
    assert [line["problem"] for line in result["archive"]] == [None] * 6
    assert {line["what"] for line in result["archive"]} == {"archive", "leave ClickHouse"}
    assert loader.data_version > version
    assert {row[1] for row in (await facts(warehouse))["events"]} == {1}
    await loader.drain()
    await manifest_balances(postgres, warehouse)

    found = await read_housekeeping(postgres, settings)
    assert found["alarm"] is None
    assert found["months_ahead"] == 3
    assert found["archive"]["months"] == 4
    assert now() - found["last_run"]["ran_at"] < timedelta(minutes=1)
    assert (await keeping.tend())["archive"] == []


async def test_without_an_archive_nothing_leaves(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    await make_world(postgres, loader, [40])
    before = await facts(warehouse)
    result = await Housekeeping(postgres, warehouse, Settings(data_dir=settings.data_dir), loader).tend()
    assert result["archive"] == []
    assert await facts(warehouse) == before
    assert await postgres.fetch("select count(*) as n from events") == [{"n": 80}]


async def test_only_the_elected_one_keeps_house(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    stop = asyncio.Event()
    other = Loader(postgres, warehouse, settings)
    running = asyncio.create_task(Housekeeping(postgres, warehouse, settings, other).run(stop))
    await loader.load()
    await asyncio.sleep(0.3)
    assert (await read_housekeeping(postgres, settings))["last_run"] is None
    await loader.resign()
    await other.load()
    async with asyncio.timeout(10):
        while not (await read_housekeeping(postgres, settings))["last_run"]:
            await asyncio.sleep(0.1)
    stop.set()
    await running
    await other.close()


async def test_a_clock_that_jumps_finds_its_months(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    stop = asyncio.Event()
    await loader.load()
    running = asyncio.create_task(Housekeeping(postgres, warehouse, settings, loader).run(stop))
    async with asyncio.timeout(10):
        while not (await read_housekeeping(postgres, settings))["last_run"]:
            await asyncio.sleep(0.1)
    later = next_month(next_month(month_of(now()) + timedelta(days=100))) + timedelta(days=3)
    with time_machine.travel(later, tick=True):
        found = await read_housekeeping(postgres, settings)
        assert (found["months_ahead"], str(found["alarm"])[:14]) == (-1, "The next month")
        async with asyncio.timeout(10):
            while (await read_housekeeping(postgres, settings))["alarm"]:
                await asyncio.sleep(0.1)
        assert await postgres.fetch("select to_regclass(%s) is not null as there", (f"events_{later:%Y_%m}",)) == [
            {"there": True}
        ]
    stop.set()
    await running


async def test_what_goes_wrong_is_an_alarm(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    await make_world(postgres, loader, [14], rows=3)
    settings.data_dir.joinpath("archive").write_text("no folder")
    result = await Housekeeping(postgres, warehouse, settings, loader).tend()
    assert {"takes no file" in line["problem"] for line in result["archive"]} == {True}
    assert "archive list" in (await read_housekeeping(postgres, settings))["alarm"]
    with office(postgres.url) as connection:
        assert {row["state"] for row in listed(connection)} == {"writing"}
        settings.data_dir.joinpath("archive").unlink()
        assert (await Housekeeping(postgres, warehouse, settings, loader).tend())["archive"] == []
    result = await Housekeeping(postgres, warehouse, settings, loader).tend()
    assert [line["rows"] for line in result["archive"]] == [6, 6]
    assert (await read_housekeeping(postgres, settings))["alarm"] is None
