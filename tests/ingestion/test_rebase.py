"""The record was restored or replaced: the loader refuses until a rebase; that loads what is missing."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from ingestion.origin import Foreign
from ingestion.status import read_status
from tests.ingestion.rows import event, months
from tests.ingestion.sides import Crash, armed, crash, insert_events, once, run_job, there

Restored = Callable[[], None]


def execute(url: str, *statements: str) -> None:
    """Change the record by hand."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def copy_database(url: str, name: str) -> str:
    """A copy of the record, as a backup would give it; its URL."""
    source = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    admin = url.replace(f"/{source}?", "/postgres?", 1)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {name} template {source} strategy file_copy")
    return url.replace(f"/{source}?", f"/{name}?", 1)


async def backed_up(postgres: Postgres, warehouse: Warehouse, settings: Settings) -> tuple[str, set[UUID], set[UUID]]:
    """A record that was copied and went on: the copy's URL, its events, and those that were loaded after."""
    await months(postgres)
    await postgres.fetch("insert into schools (name) values ('old'), ('older')")
    before = await insert_events(postgres, 80)
    loader = Loader(postgres, warehouse, settings)
    await loader.drain()
    await loader.close()
    await postgres.close()
    restored = copy_database(postgres.url, f"copy_{id(postgres)}")
    await (reopened := Postgres(postgres.url, 2)).open()
    after = await insert_events(reopened, 70)
    await reopened.fetch("update schools set name = 'newer'")
    await reopened.fetch("update schools set name = 'newest'")
    loader = Loader(reopened, warehouse, settings)
    await loader.drain()
    await loader.close()
    await reopened.close()
    return restored, before, after


async def names(warehouse: Warehouse) -> list[str]:
    """The schools in ClickHouse."""
    return sorted(row[0] for row in (await warehouse.query("SELECT name FROM schools FINAL")).result_rows)


@pytest.mark.parametrize("remove", [False, True])
async def test_a_restored_backup(remove: bool, postgres: Postgres, warehouse: Warehouse, settings: Settings) -> None:
    url, before, after = await backed_up(postgres, warehouse, settings)
    restored = Postgres(url, 2)
    await restored.open()
    new = await insert_events(restored, 60)
    loader = Loader(restored, warehouse, settings)
    for _ in range(2):
        with pytest.raises(Foreign, match="ClickHouse has batch"):
            await loader.load()
    assert await there(warehouse) == once(before | after), "nothing is sent before the rebase"
    status = await read_status(restored, warehouse)
    assert all("pipeline rebase" in str(pipeline.trouble) for pipeline in status.pipelines)
    found = await rebase(loader, remove=remove)
    assert (found["missing"], found["sent"], found["extra"]) == (60, 60, 70)
    assert await names(warehouse) == ["old", "older"]
    await restored.fetch("update schools set name = 'again' where name = 'old'")
    late = await insert_events(restored, 60)
    await loader.drain()
    assert await names(warehouse) == ["again", "older"], "versions of before the restore do not win"
    left = set() if remove else after
    assert await there(warehouse) == once(before | new | late | left)
    findings = (await read_status(restored, warehouse)).findings
    assert [(row["kind"], row["rows"]) for row in findings] == ([] if remove else [("extra", 70)])
    assert (await run_job(loader, "audit"))["different"] == 0
    await loader.close()
    again = Loader(restored, warehouse, settings)
    await again.drain()
    await again.close()
    await restored.close()


async def rebase(loader: Loader, **options: object) -> dict[str, object]:
    """The command, on a loader that refuses to load."""
    from ingestion.jobs import read_job, request
    from ingestion.term import connect

    with connect(loader.url) as connection:
        number = request(connection, "rebase", **options)
        while (job := read_job(connection, number))["state"] in ("requested", "running"):
            try:
                await loader.load()
            except Foreign:
                continue
    assert job["state"] == "done", job["result"]
    return dict(job["result"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update pipelines set cluster = '1'", "another Postgres cluster"),
        ("update pipelines set timeline = '00000000'", "timeline"),
        ("update pipelines set done = '4000000000:4000000000:'", "run backwards"),
    ],
)
async def test_each_sign_of_another_record(
    change: str, reason: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    ids = await insert_events(postgres, 60)
    first = Loader(postgres, warehouse, settings)
    await first.drain()
    await first.close()
    execute(postgres.url, change)
    ids |= await insert_events(postgres, 10)
    second = Loader(postgres, warehouse, settings)
    with pytest.raises(Foreign, match=reason):
        await second.load()
    await rebase(second)
    ids |= await insert_events(postgres, 10)
    await second.drain()
    await second.close()
    assert await there(warehouse) == once(ids)


async def test_a_dump_in_a_new_cluster_whose_transactions_begin_again(
    postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    """Old rows bear higher transaction numbers than new ones: they must not come a second time."""
    await months(postgres)
    rows = [event() for _ in range(40)]
    async with postgres.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "insert into events (event_id, school_id, event_name, occurred_at, xid)"
            " values (%(event_id)s, 1, 'x', %(occurred_at)s,"
            " (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 3)::text::xid8)",
            rows,
        )
    ids = {row["event_id"] for row in rows}
    execute(postgres.url, "insert into pipelines (name, cluster) values ('events', '1')")
    loader = Loader(postgres, warehouse, settings)
    with pytest.raises(Foreign):
        await loader.load()
    assert (await rebase(loader))["sent"] == 40
    for _ in range(5):
        ids |= await insert_events(postgres, 3)
        await loader.drain()
    await loader.close()
    assert await there(warehouse) == once(ids)


@pytest.mark.parametrize("point", ["rebased", "prepared", "inserting", "recovered"])
async def test_a_crash_during_a_rebase(
    point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    url, before, after = await backed_up(postgres, warehouse, settings)
    restored = Postgres(url, 2)
    await restored.open()
    new = await insert_events(restored, 60)
    first = Loader(restored, warehouse, settings)
    try:
        with armed(point, crash):
            await rebase(first)
    except Crash:
        pass
    await first.close()
    second = Loader(restored, warehouse, settings)
    await rebase(second)
    await second.drain()
    await second.close()
    await restored.close()
    assert await there(warehouse) == once(before | after | new)


async def test_clickhouse_is_lost_after_a_rebase(postgres: Postgres, warehouse: Warehouse, settings: Settings) -> None:
    await months(postgres)
    ids = await insert_events(postgres, 60)
    first = Loader(postgres, warehouse, settings)
    await first.drain()
    await first.close()
    execute(postgres.url, "update pipelines set cluster = '1'")
    second = Loader(postgres, warehouse, settings)
    await rebase(second)
    ids |= await insert_events(postgres, 20)
    await second.drain()
    await second.close()
    await warehouse.command("TRUNCATE TABLE events")
    third = Loader(postgres, warehouse, settings)
    for _ in range(12):
        await third.load()
    await third.close()
    assert await there(warehouse) == once(ids)
