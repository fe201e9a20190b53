"""A range that is brought once more replaces what was there, at once; a table of another shape takes its place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from core.clock import now
from core.errors import BadInput
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.jobs import request
from ingestion.loader import Loader
from ingestion.partitions import ensure_months, month_of
from ingestion.term import connect
from tests.ingestion.rows import months
from tests.ingestion.sides import Crash, armed, crash, insert_events, once, run_job, there

BATCHES = "SELECT event_id, batch FROM events ORDER BY event_id"


def last_month() -> datetime:
    """A moment in the month before this one."""
    return month_of(now()) - timedelta(days=10)


@pytest.fixture
async def filled(postgres: Postgres, loader: Loader) -> set[object]:
    """Events of this month and of the one before, in ClickHouse; their ids."""
    async with postgres.transaction() as connection:
        await ensure_months(connection, [last_month()])
    ids = await insert_events(postgres, 120) | await insert_events(postgres, 70, occurred_at=last_month())
    await loader.drain()
    return set(ids)


async def test_everything_is_replaced_and_keeps_its_batch(
    filled: set[object], postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    before = (await warehouse.query(BATCHES)).result_rows
    await warehouse.command("ALTER TABLE events UPDATE props = 'damaged' WHERE 1 SETTINGS mutations_sync = 2")
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 5 = 0")
    await warehouse.command("INSERT INTO events SETTINGS async_insert = 0 SELECT * FROM events WHERE batch = 1")
    found = await run_job(loader, "replay", table="events")
    assert (found["rows"], found["months"], found["extra"]) == (190, 2, 0)
    assert (await warehouse.query(BATCHES)).result_rows == before
    assert (await warehouse.query("SELECT DISTINCT props FROM events")).result_rows == [("{}",)]
    audited = await run_job(loader, "audit")
    assert audited["different"] == 0
    assert (await warehouse.query("SHOW TABLES LIKE '%replay%'")).result_rows == []


async def test_only_the_range_is_replaced(
    filled: set[object], warehouse: Warehouse, postgres: Postgres, loader: Loader
) -> None:
    await warehouse.command("ALTER TABLE events UPDATE props = 'old' WHERE 1 SETTINGS mutations_sync = 2")
    late = now() + timedelta(hours=2)
    ids = await insert_events(postgres, 5, occurred_at=late)
    await loader.drain()
    await warehouse.command("ALTER TABLE events UPDATE props = 'old' WHERE 1 SETTINGS mutations_sync = 2")
    first, last = [(late + timedelta(minutes=step)).isoformat() for step in (-1, 1)]
    await run_job(loader, "replay", None, table="events", **{"from": first, "to": last})
    names = "SELECT props, count() FROM events GROUP BY props ORDER BY props"
    assert (await warehouse.query(names)).result_rows == [("old", 190), ("{}", 5)]
    assert await there(warehouse) == once({*filled, *ids})  # type: ignore[arg-type]


async def test_rows_that_come_meanwhile_are_kept_and_readers_see_no_half(
    filled: set[object], postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids, seen = set(filled), []

    async def meanwhile() -> None:
        ids.update(await insert_events(postgres, 7))
        await loader.load()
        seen.append(len(await there(warehouse)) == len(ids))

    await run_job(loader, "replay", meanwhile, table="events")
    assert len(seen) > 3
    assert all(seen)
    await loader.drain()
    assert await there(warehouse) == once(ids)  # type: ignore[arg-type]


async def test_what_the_record_does_not_have_stays_unless_told(
    filled: set[object], warehouse: Warehouse, loader: Loader
) -> None:
    await warehouse.command(
        "INSERT INTO events SETTINGS async_insert = 0 SELECT generateUUIDv7() AS event_id, * EXCEPT event_id"
        " FROM events ORDER BY occurred_at DESC LIMIT 3"
    )
    kept = await run_job(loader, "replay", table="events")
    assert (kept["extra"], len(await there(warehouse))) == (3, 193)
    gone = await run_job(loader, "replay", table="events", remove=True)
    assert gone["removed"] == 3
    assert await there(warehouse) == once(filled)  # type: ignore[arg-type]


async def test_archived_months_are_left_alone(
    filled: set[object], postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    """The partition is gone from the record; ClickHouse keeps its rows."""
    await postgres.fetch(f"drop table events_{last_month():%Y_%m}")
    found = await run_job(loader, "replay", table="events")
    assert found["archived"] == 0 or await there(warehouse) == once(filled)  # type: ignore[arg-type]
    assert await there(warehouse) == once(filled)  # type: ignore[arg-type]


@pytest.mark.parametrize("point", ["replayed", "exchanging", "exchanged"])
async def test_a_crash_during_a_replay(
    point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    first = Loader(postgres, warehouse, settings)
    ids = await insert_events(postgres, 130)
    await first.drain()
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 5 = 0")
    with armed(point, crash), pytest.raises(Crash):
        await run_job(first, "replay", table="events")
    await first.close()
    ids |= await insert_events(postgres, 10)
    second = Loader(postgres, warehouse, settings)
    await run_job(second, "replay", table="events")
    await second.drain()
    await second.close()
    assert await there(warehouse) == once(ids)


async def test_a_loader_that_wakes_late_has_nothing_to_exchange(
    postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    """It sleeps just before the exchange; meanwhile another is elected and loads more."""
    await months(postgres)
    first, second = Loader(postgres, warehouse, settings), Loader(postgres, warehouse, settings)
    ids = await insert_events(postgres, 30)
    await first.drain()

    def sleep() -> None:
        with connect(postgres.url) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like 'eduanalytics loader%%'"
                " and pid <> pg_backend_pid() and datname = current_database()"
            )
        ids.update(asyncio.run_coroutine_threadsafe(insert_events(postgres, 20), loop).result())
        asyncio.run_coroutine_threadsafe(second.drain(), loop).result()

    loop = asyncio.get_running_loop()
    with connect(postgres.url) as connection:
        request(connection, "replay", table="events")
    with armed("exchanging", sleep), pytest.raises(Exception):  # noqa: B017 - cut off in any way
        while True:
            await first.load()
    assert second.leads
    await second.drain()
    assert await there(warehouse) == once(ids)
    await first.close()
    await second.close()


async def test_a_table_of_another_shape(
    filled: set[object], postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    with pytest.raises(AssertionError, match="events_next"):
        await run_job(loader, "exchange", table="events")
    shape = (await warehouse.query("SELECT create_table_query FROM system.tables WHERE name = 'events'"
                                   " AND database = currentDatabase()")).result_rows[0][0]  # fmt: skip
    order = "(school_id, classroom_id, event_name, occurred_at)"
    shape = shape[shape.index("(") :].replace(order, "(event_name, school_id)")
    await warehouse.command("CREATE TABLE events_next " + shape)
    await warehouse.command("ALTER TABLE events_next ADD COLUMN term String DEFAULT 'autumn'")
    before, ids = (await warehouse.query(BATCHES)).result_rows, set(filled)

    async def meanwhile() -> None:
        ids.update(await insert_events(postgres, 3))

    await run_job(loader, "exchange", meanwhile, table="events")
    assert (await warehouse.query("SELECT DISTINCT term FROM events")).result_rows == [("autumn",)]
    await loader.drain()
    assert await there(warehouse) == once(ids)  # type: ignore[arg-type]
    assert set(before) <= set((await warehouse.query(BATCHES)).result_rows)
    assert (await run_job(loader, "audit"))["different"] == 0


async def test_a_job_for_a_table_that_is_none(loader: Loader) -> None:
    with connect(loader.url) as connection, pytest.raises(BadInput, match="no table of facts"):
        request(connection, "replay", table="users")


def test_months() -> None:
    assert month_of(datetime(2026, 3, 31, 23, tzinfo=UTC)) == datetime(2026, 3, 1, tzinfo=UTC)
