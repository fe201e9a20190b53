"""ClickHouse refuses one row: that row is set aside with the reason, all others arrive; nothing else is set aside."""

from __future__ import annotations

import random

import pytest

from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from ingestion.refusals import retry_rows
from ingestion.status import read_status
from ingestion.term import connect
from tests.ingestion.rows import months
from tests.ingestion.sides import Crash, armed, crash, insert_events, once, run_job, there

BAR = "ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != 'poison'"


async def letters(postgres: Postgres) -> list[dict[str, object]]:
    """The dead letters of the loader."""
    return await postgres.fetch("select id, school_id, reason, payload from dead_letters where stage = 'load'")


async def balanced(postgres: Postgres, loader: Loader) -> bool:
    """Whether an audit of everything finds no difference."""
    found = await run_job(loader, "audit")
    return bool(found["batches"]) and not found["different"]


@pytest.mark.parametrize("poisoned", [1, 7, 60])
async def test_the_rest_of_the_batch_and_later_batches_arrive(
    poisoned: int, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    good = await insert_events(postgres, 30)
    await loader.drain()
    await warehouse.command(BAR)
    async with postgres.transaction() as connection:
        await connection.execute("select 1")
    bad = await insert_events(postgres, poisoned, "poison")
    good |= await insert_events(postgres, 130)
    await loader.drain()
    assert await there(warehouse) == once(good)
    kept = await letters(postgres)
    assert {str(letter["payload"]["key"]) for letter in kept} == {str(key) for key in bad}  # type: ignore[index]
    assert all("no_poison" in str(letter["reason"]) for letter in kept)
    assert kept[0]["payload"]["row"]["event_name"] == "poison"  # type: ignore[index]
    assert await balanced(postgres, loader)
    status = await read_status(postgres, warehouse)
    assert status.pipelines[1].refused_rows == poisoned
    assert any("refused" in problem.text for problem in status.problems)


async def test_values_that_clickhouse_cannot_read(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    good = await insert_events(postgres, 3)
    async with postgres.transaction() as connection:
        for moment in ("infinity", "0044-03-15 BC", "10000-01-01"):
            await connection.execute(f"""
                insert into events (event_id, school_id, event_name, occurred_at)
                select overlay(event_id::text placing lpad((random() * 99999)::int::text, 5, '0') from 32)::uuid,
                       1, 'x', '{moment}' from events limit 1""")
    await loader.drain()
    assert await there(warehouse) == once(good)
    assert len(await letters(postgres)) == 3
    assert await balanced(postgres, loader)


@pytest.mark.parametrize("point", ["sifted", "reduced", "completed", "recovered"])
async def test_a_crash_while_rows_are_set_aside(
    point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    await months(postgres)
    first = Loader(postgres, warehouse, settings)
    await first.drain()
    await warehouse.command(BAR)
    good = await insert_events(postgres, 20)
    await insert_events(postgres, 2, "poison")
    with armed(point, crash), pytest.raises(Crash):
        await first.load()
    await first.close()
    second = Loader(postgres, warehouse, settings)
    await second.drain()
    assert await there(warehouse) == once(good)
    assert len(await letters(postgres)) == 2
    assert await balanced(postgres, second)
    await second.close()


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        ("RENAME TABLE events TO away", "RENAME TABLE away TO events"),
        ("ALTER TABLE events ADD CONSTRAINT none CHECK 0", "ALTER TABLE events DROP CONSTRAINT none"),
        ("ALTER TABLE events RENAME COLUMN props TO other", "ALTER TABLE events RENAME COLUMN other TO props"),
    ],
)
async def test_a_table_that_takes_nothing_is_no_fault_of_a_row(
    break_it: str, mend_it: str, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await insert_events(postgres, 5)
    await loader.drain()
    await warehouse.command(break_it)
    ids |= await insert_events(postgres, 5)
    with pytest.raises(EduError):
        await loader.load()
    assert await letters(postgres) == []
    status = await read_status(postgres, warehouse)
    assert status.pipelines[1].trouble
    assert status.pipelines[1].prepared_batches == 1
    await warehouse.command(mend_it)
    await loader.drain()
    assert await there(warehouse) == once(ids)
    assert (await read_status(postgres, warehouse)).pipelines[1].trouble is None


async def test_refused_rows_are_tried_again_on_command(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    good = await insert_events(postgres, 10)
    await loader.drain()
    await warehouse.command(BAR)
    bad = await insert_events(postgres, 3, "poison")
    await loader.drain()
    numbers = [int(str(letter["id"])) for letter in await letters(postgres)]
    with connect(loader.url) as connection:
        retry_rows(connection, numbers)
    await loader.load()
    await loader.load()
    await loader.load()
    assert len(await letters(postgres)) == 6, "refused again, with a new letter each"
    await warehouse.command("ALTER TABLE events DROP CONSTRAINT no_poison")
    numbers = [int(str(letter["id"])) for letter in await letters(postgres)]
    await run_job(loader, "retry", letters=numbers)
    await loader.load()
    await loader.load()
    assert await there(warehouse) == once(good | bad)
    assert (await read_status(postgres, warehouse)).pipelines[1].refused_rows == 0
    assert await balanced(postgres, loader)


async def test_one_pipeline_in_trouble_holds_up_no_other(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await loader.drain()
    await warehouse.command("RENAME TABLE events TO away")
    await insert_events(postgres, 5)
    await postgres.fetch("insert into schools (name) values ('new')")
    await postgres.fetch(
        "insert into audit_log (audit_id, actor_role, action, occurred_at) values (gen_random_uuid(), 'x', 'y', now())"
    )
    with pytest.raises(EduError):
        await loader.load()
    for table in ("schools", "audit_log"):
        assert (await warehouse.query(f"SELECT count() FROM {table}")).result_rows == [(1,)]
    troubles = {pipeline.name: pipeline.trouble for pipeline in (await read_status(postgres, warehouse)).pipelines}
    assert [name for name, trouble in troubles.items() if trouble] == ["events"]
    await warehouse.command("RENAME TABLE away TO events")


@pytest.mark.parametrize("seed", range(3))
async def test_any_mixture(seed: int, postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    chance = random.Random(seed)
    good = await insert_events(postgres, 1)
    await loader.drain()
    await warehouse.command(BAR)
    bad = 0
    for _ in range(8):
        if chance.random() < 0.5:
            good |= await insert_events(postgres, chance.randrange(1, 70))
        else:
            number = chance.randrange(1, 5)
            await insert_events(postgres, number, "poison")
            bad += number
        if chance.random() < 0.4:
            await loader.drain()
    await loader.drain()
    assert await there(warehouse) == once(good)
    assert len(await letters(postgres)) == bad
    assert await balanced(postgres, loader)
