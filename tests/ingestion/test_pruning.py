"""What nothing reads any more is forgotten; audits, replays and exchanges stay right afterwards."""

from __future__ import annotations

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from ingestion.pruning import prune
from ingestion.status import read_status
from tests.ingestion.sides import elected, insert_events, once, run_job, there

AGE = """
update batches set committed_at = committed_at - interval '30 days', prepared_at = prepared_at - interval '30 days'
"""


async def numbers(postgres: Postgres, table: str) -> int:
    """How many rows a table has."""
    return int((await postgres.fetch(f"select count(*) as n from {table}"))[0]["n"])


async def test_old_batches_and_changes_go_and_nothing_else_changes(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await postgres.fetch("insert into schools (name) select 'school ' || n from generate_series(1, 40) n")
    ids = await insert_events(postgres, 130)
    await loader.drain()
    await loader.load()
    before = (await warehouse.query("SELECT event_id, batch FROM events ORDER BY event_id")).result_rows
    await postgres.fetch(AGE + " where id <= 2")
    assert prune(elected(loader), 7) == 2 + 40
    assert (await numbers(postgres, "batches"), await numbers(postgres, "row_changes")) == (1, 0)
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 3 = 0")
    found = await run_job(loader, "replay", table="events")
    assert found["rows"] == 130
    there_now = (await warehouse.query("SELECT event_id, batch FROM events ORDER BY event_id")).result_rows
    assert [key for key, _ in there_now] == [key for key, _ in before]
    assert {batch for _, batch in there_now} == {2, 3}, "settled batches share the last settled number"
    assert (await run_job(loader, "audit"))["different"] == 0
    ids |= await insert_events(postgres, 60)
    await postgres.fetch("update schools set name = 'again' where id = 1")
    await loader.drain()
    assert await there(warehouse) == once(ids)
    status = await read_status(postgres, warehouse, exact=True)
    assert (status.pipelines[1].shipped_rows, status.pipelines[1].record_rows) == (190, 190)


async def test_the_last_batch_may_go_too(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    ids = await insert_events(postgres, 60)
    await loader.drain()
    await postgres.fetch(AGE)
    assert prune(elected(loader), 7) >= 2
    assert await numbers(postgres, "batches") == 0
    ids |= await insert_events(postgres, 60)
    await loader.drain()
    await loader.resign()
    after = Loader(postgres, warehouse, settings)
    ids |= await insert_events(postgres, 5)
    await after.drain()
    assert await there(warehouse) == once(ids)
    assert [row["id"] for row in await postgres.fetch("select id from batches order by id")] == [3, 4, 5]
    await after.close()


async def test_a_batch_with_an_open_finding_is_kept(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await insert_events(postgres, 130)
    await loader.drain()
    await warehouse.command("DELETE FROM events WHERE batch = 2")
    await run_job(loader, "audit")
    await postgres.fetch(AGE)
    prune(elected(loader), 7)
    assert [row["id"] for row in await postgres.fetch("select id from batches order by id")] == [2, 3]


async def test_a_lost_table_is_noticed_after_its_batches_went(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    ids = await insert_events(postgres, 30)
    await loader.drain()
    await postgres.fetch(AGE)
    prune(elected(loader), 7)
    await loader.resign()
    await warehouse.command("TRUNCATE TABLE events")
    after = Loader(postgres, warehouse, settings)
    await after.load()
    await after.drain()
    await after.close()
    assert await there(warehouse) == once(ids)
