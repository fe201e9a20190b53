"""An audit finds what ClickHouse has lost or doubled, sends what is missing, and takes away only on command."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.audit import audit_by_the_clock
from ingestion.loader import Loader
from ingestion.status import Level, read_status
from tests.ingestion.rows import months
from tests.ingestion.sides import Crash, armed, crash, elected, insert_events, once, run_job, there

DOUBLE = "INSERT INTO events SETTINGS async_insert = 0, insert_deduplicate = 0 SELECT * FROM events WHERE {0}"


async def test_what_clickhouse_lost_is_sent_again(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await insert_events(postgres, 170)
    await loader.drain()
    for _ in range(3):  # a token that was used once must not stop the next repair
        await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 3 = 0 OR batch = 2")
        lost = 170 - len(await there(warehouse))
        told = await run_job(loader, "audit")
        assert (told["missing"], told["repaired"], told["left"] >= lost) == (lost, 0, True)
        found = await run_job(loader, "audit", repair=True)
        assert (found["missing"], found["repaired"], found["left"]) == (lost, lost, 0)
        assert await there(warehouse) == once(ids)


async def test_the_clock_repairs_by_itself(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    ids = await insert_events(postgres, 60)
    await loader.drain()
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 2 = 0")
    term = elected(loader)
    term.looked["audit"] = -1e9
    audit_by_the_clock(term, settings)
    assert await there(warehouse) == once(ids)
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 2 = 1")
    for _ in range(9):
        audit_by_the_clock(term, settings)
    assert await there(warehouse) == once(ids)
    status = await read_status(postgres, warehouse)
    assert {row["kind"] for row in status.audits} == {"hour", "days"}
    assert sum(row["ever"] for row in status.audits) == 60


async def test_surplus_is_told_and_taken_away_on_command(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await insert_events(postgres, 20)
    await loader.drain()
    await warehouse.command(DOUBLE.format("cityHash64(event_id) % 2 = 0"))
    await warehouse.command(
        "INSERT INTO events SETTINGS async_insert = 0 SELECT generateUUIDv7() AS event_id, * EXCEPT event_id"
        " FROM events LIMIT 3"
    )
    doubled = sum(1 for count in (await there(warehouse)).values() if count > 1)
    assert doubled > 0
    await run_job(loader, "audit", repair=True)
    status = await read_status(postgres, warehouse)
    assert {(row["kind"], row["rows"]) for row in status.findings} == {("extra", 3), ("duplicate", doubled)}
    assert status.level is Level.CRITICAL
    await run_job(loader, "audit", repair=True, remove=True)
    assert await there(warehouse) == once(ids)
    assert (await read_status(postgres, warehouse)).findings == []


@pytest.mark.parametrize("point", ["completed", "repaired", "removed"])
async def test_a_crash_during_a_repair(
    point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    first = Loader(postgres, warehouse, settings)
    ids = await insert_events(postgres, 40)
    await first.drain()
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 3 = 0")
    await warehouse.command(DOUBLE.format("cityHash64(event_id) % 3 = 1"))
    with armed(point, crash), pytest.raises(Crash):
        await run_job(first, "audit", repair=True, remove=True)
    await first.close()
    second = Loader(postgres, warehouse, settings)
    await run_job(second, "audit", repair=True, remove=True)
    await second.close()
    assert await there(warehouse) == once(ids)


async def test_batches_of_which_the_record_knows_nothing_are_told(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await insert_events(postgres, 5)
    await loader.drain()
    await warehouse.command(
        "INSERT INTO events SETTINGS async_insert = 0 SELECT * EXCEPT batch, 99 AS batch FROM events"
    )
    await run_job(loader, "audit")
    status = await read_status(postgres, warehouse)
    assert [(row["kind"], row["pipeline"]) for row in status.findings] == [("unknown", "events")]


@pytest.mark.parametrize("seed", range(3))
async def test_any_damage_is_mended(seed: int, postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    chance, ids = random.Random(seed), set[UUID]()
    for _ in range(6):
        ids |= await insert_events(postgres, chance.randrange(1, 90))
        await loader.drain()
        salt, harm = chance.randrange(1000), chance.choice(["lose", "double", "part", "nothing"])
        if harm == "lose":
            await warehouse.command(f"DELETE FROM events WHERE cityHash64(event_id, {salt}) % 4 = 0")
        elif harm == "double":
            await warehouse.command(DOUBLE.format(f"cityHash64(event_id, {salt}) % 4 = 0"))
        elif harm == "part":
            await warehouse.command(f"DELETE FROM events WHERE batch % 2 = {salt % 2}")
        await run_job(loader, "audit", repair=True, remove=True)
        assert await there(warehouse) == once(ids)
