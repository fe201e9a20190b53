"""Every committed row arrives once, whatever the order of commits."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion import facts
from ingestion.batches import fingerprint
from ingestion.courtesy import PATIENT_SECONDS, SHARE, share
from ingestion.loader import Loader
from ingestion.recovery import FINGERPRINT
from ingestion.responses import Responder, Submission
from ingestion.scope import Caller
from ingestion.staging import EventRow
from ingestion.writer import Writer
from tests.ingestion.rows import INSERT_EVENT, event, make_school, months

LOADED = "SELECT event_id FROM events"


async def loaded(warehouse: Warehouse) -> list[UUID]:
    """The event ids in ClickHouse."""
    return [row[0] for row in (await warehouse.query(LOADED)).result_rows]


async def insert(postgres: Postgres, count: int) -> set[UUID]:
    """Commit some events; their ids."""
    rows = [event() for _ in range(count)]
    async with postgres.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(INSERT_EVENT, rows)
    return {row["event_id"] for row in rows}


async def test_a_committed_row_is_queryable_within_a_second(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(loader.run(stop))
    await loader.drain()
    ids = await insert(postgres, 3)
    began = time.monotonic()
    while set(await loaded(warehouse)) != ids:
        assert time.monotonic() - began < 1
        await asyncio.sleep(0.01)
    stop.set()
    await running
    assert not loader.leads


async def test_rows_copied_by_another_program_arrive_too(
    postgres_url: str, warehouse: Warehouse, loader: Loader
) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        rows = [event() for _ in range(120)]
        async with connection.cursor().copy(
            "copy events (event_id, school_id, event_name, occurred_at) from stdin"
        ) as copy:
            for row in rows:
                await copy.write_row((row["event_id"], 1, "content_viewed", row["occurred_at"]))
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted(row["event_id"] for row in rows)


async def test_texts_arrive_byte_for_byte(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    props = '{"text": "tab\\t line\\n quote\\" back\\\\slash \\\\N naïve 漢字 🎓", "none": null, "n": 0.10}'
    async with postgres.transaction() as connection:
        await connection.execute(INSERT_EVENT.replace("'{}'", "%(props)s"), {**event(), "props": props})
    await loader.drain()
    kept = await postgres.fetch("select props::text, user_id, app, occurred_at from events")
    there = (await warehouse.query("SELECT props, user_id, app, occurred_at FROM events")).result_rows
    assert there[0][:3] == (kept[0]["props"], None, None)
    assert abs(there[0][3].timestamp() - kept[0]["occurred_at"].timestamp()) < 0.001


async def test_fingerprints_are_equal_on_all_three_sides(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await insert(postgres, 49)
    await loader.drain()
    manifest = await postgres.fetch("select rows, fingerprint, state from batches where pipeline = 'events'")
    query = f"SELECT count(), {FINGERPRINT.format(key='event_id')} FROM events WHERE batch = 1"
    assert (await warehouse.query(query)).result_rows == [(49, fingerprint(ids))]
    assert [(row["rows"], int(row["fingerprint"]), row["state"]) for row in manifest] == [
        (49, fingerprint(ids), "committed")
    ]


async def test_a_batch_is_one_insert_of_at_most_so_many_rows(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await insert(postgres, 175)
    await loader.drain()
    query = "SELECT batch, count() FROM events GROUP BY batch ORDER BY batch"
    assert (await warehouse.query(query)).result_rows == [(1, 50), (2, 50), (3, 50), (4, 25)]


async def test_the_version_of_the_data_grows_with_each_batch_and_only_then(postgres: Postgres, loader: Loader) -> None:
    await loader.drain()
    before = loader.data_version
    await loader.load()
    assert loader.data_version == before
    await insert(postgres, 60)
    await loader.load()
    assert loader.data_version == before + 2


async def test_an_idle_loader_writes_nothing(postgres: Postgres, loader: Loader) -> None:
    await insert(postgres, 1)
    await loader.drain()
    before = await postgres.fetch("select *, xmin::text as writer from pipelines order by name")
    for _ in range(3):
        await loader.load()
    assert await postgres.fetch("select *, xmin::text as writer from pipelines order by name") == before


async def test_a_long_transaction_holds_up_only_its_own_rows(
    postgres_url: str, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as slow:
        late = event()
        await slow.execute(INSERT_EVENT, late)
        early = await insert(postgres, 70)
        await loader.drain()
        assert set(await loaded(warehouse)) == early
        later = await insert(postgres, 5)
        await loader.drain()
        await slow.commit()
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted({*early, *later, late["event_id"]})


async def test_savepoints_and_rollbacks(postgres_url: str, warehouse: Warehouse, loader: Loader) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        kept, undone = [event(), event(), event()], event()
        await connection.execute(INSERT_EVENT, kept[0])
        async with connection.transaction(force_rollback=True):
            await connection.execute(INSERT_EVENT, undone)
        async with connection.transaction():
            await connection.execute(INSERT_EVENT, kept[1])
        await loader.load()
        await connection.execute(INSERT_EVENT, kept[2])
        await connection.commit()
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted(row["event_id"] for row in kept)


@pytest.mark.parametrize("seed", range(4))
async def test_any_interleaving_of_commits_rollbacks_and_loads_loses_and_doubles_nothing(
    seed: int, postgres_url: str, warehouse: Warehouse, loader: Loader
) -> None:
    chance = random.Random(seed)
    connections = [await psycopg.AsyncConnection.connect(postgres_url) for _ in range(4)]
    pending: list[set[UUID]] = [set() for _ in connections]
    committed: set[UUID] = set()
    for _ in range(150):
        number = chance.randrange(len(connections))
        action = chance.choices(["insert", "many", "savepoint", "commit", "rollback", "load"], [8, 2, 3, 4, 1, 4])[0]
        connection = connections[number]
        if action in ("insert", "many"):
            for row in [event() for _ in range(1 if action == "insert" else 30)]:
                await connection.execute(INSERT_EVENT, row)
                pending[number].add(row["event_id"])
        elif action == "savepoint":
            row, undo = event(), chance.random() < 0.5
            await connection.execute("select 1")
            async with connection.transaction(force_rollback=undo):
                await connection.execute(INSERT_EVENT, row)
            pending[number] |= set() if undo else {row["event_id"]}
        elif action == "load":
            await loader.load()
        else:
            await (connection.commit() if action == "commit" else connection.rollback())
            committed |= pending[number] if action == "commit" else set()
            pending[number] = set()
    for connection in connections:
        await connection.close()
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted(committed)


async def test_a_second_loader_waits_and_takes_over(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    second = Loader(postgres, warehouse, settings)
    await loader.load()
    ids = await insert(postgres, 2)
    assert await second.load() == 0
    assert not second.leads
    await loader.resign()
    assert await second.load() == 2
    assert sorted(await loaded(warehouse)) == sorted(ids)
    await second.close()


async def test_the_record_keeps_what_clickhouse_cannot_take(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(loader.run(stop))
    await loader.drain()
    await warehouse.command("RENAME TABLE events TO away")
    ids = await insert(postgres, 5)
    await asyncio.sleep(0.5)
    assert not running.done()
    await warehouse.command("RENAME TABLE away TO events")
    await loader.drain()
    assert sorted(await loaded(warehouse)) == sorted(ids)
    stop.set()
    await running


async def test_answers_arrive_with_their_values(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    school = await make_school(postgres)
    caller = Caller(school["ann"], school["school"], "student")
    async with Writer(postgres, settings) as writer:
        door = Responder(postgres, writer)
        for question, choice in [("single", "B"), ("several", "A"), ("essay", "tab\t\\N")]:
            submission = Submission(school[question], school["ann"], choice, quiz_id=school["quiz"], time_spent=1.5)
            await door.submit(submission, caller)
    await loader.drain()
    query = (
        "SELECT choice, correct, score, time_spent_ms, attempt_number, classroom_id FROM responses ORDER BY question_id"
    )
    assert (await warehouse.query(query)).result_rows == [
        ("B", True, 1.0, 1500, 1, school["classroom"]),
        ("A", False, 0.5, 1500, 1, school["classroom"]),
        ("tab\t\\N", None, None, 1500, 1, school["classroom"]),
    ]
    joined = """
        SELECT u.name, q.title, count() FROM responses r JOIN users u FINAL ON u.id = r.student_id
        JOIN quizzes q FINAL ON q.id = r.quiz_id GROUP BY ALL"""
    assert (await warehouse.query(joined)).result_rows == [("ann", "Fractions", 3)]


async def test_a_commit_in_another_process_wakes_the_loader(
    postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    """Served: the poll is far away, the notification is not."""
    await months(postgres)
    served = settings.model_copy(update={"clickhouse_url": SecretStr("http://elsewhere"), "loader_poll_ms": 60_000})
    loader, stop = Loader(postgres, warehouse, served), asyncio.Event()
    running = asyncio.create_task(loader.run(stop))
    await loader.drain()
    await asyncio.sleep(0.3)
    row = event()
    async with Writer(postgres, served) as writer:
        await writer.submit_events(
            [
                EventRow(
                    row["event_id"],
                    1,
                    None,
                    None,
                    None,
                    None,
                    None,
                    "app_error",
                    1,
                    None,
                    row["occurred_at"],
                    None,
                    "{}",
                )
            ]
        )
    began = time.monotonic()
    while not await loaded(warehouse):
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.02)
    stop.set()
    await running


async def test_old_rows_give_way_to_who_asks_and_all_arrive(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_FEW_ROWS", 20)
    monkeypatch.setattr(facts, "_TURN_SECONDS", 0)
    monkeypatch.setattr(facts, "_LATE", timedelta(0))
    old = await insert(postgres, 110)
    with loader.courtesy:
        assert await loader.load() == 20  # then others have their turn
        new = await insert(postgres, 5)
        assert await loader.load() == 20
    assert await loader.load() == 20  # somebody was answered a moment ago
    await loader.drain()
    ids = await loaded(warehouse)
    assert (len(ids), set(ids)) == (115, old | new)


async def test_rows_that_have_just_come_do_not_give_way(postgres: Postgres, loader: Loader) -> None:
    await insert(postgres, 110)
    with loader.courtesy:
        assert await loader.load() == 110


def test_the_share_of_the_loader_grows_while_it_gives_way() -> None:
    shares = [share(seconds) for seconds in (0, PATIENT_SECONDS, PATIENT_SECONDS + 60, PATIENT_SECONDS + 600)]
    assert shares == [SHARE, SHARE, 2 * SHARE, 1]
