"""Nothing is lost on the way out, and everything comes back as it was."""

from __future__ import annotations

import io
from collections import Counter
from datetime import timedelta

import psycopg
import pyarrow.parquet as pq
import pytest

from core.clock import now
from core.errors import Conflict
from core.ids import derived_id
from core.postgres import Postgres, connect
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.manifest import Busy, Month, files_of, month_state, office, require_in_record
from ingestion.archive.months import Step, listed, plan, run, take, verify
from ingestion.archive.restore import into_record, into_warehouse
from ingestion.archive.store import Folder
from ingestion.batches import Blocking, Damaged
from ingestion.loader import Loader
from ingestion.partitions import ensure_months, ensure_months_blocking
from tests.ingestion.archive.world import add_rows, both, facts, make_world, manifest_balances, months_ago
from tests.ingestion.rows import INSERT_EVENT


def months(age: int) -> list[Month]:
    """The months of both tables."""
    return [Month.of(table, months_ago(age).date()) for table in ("events", "responses")]


async def test_what_leaves_the_record_comes_back_value_by_value(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [15, 14, 13, 2])
    before, cubes = await both(postgres), await facts(warehouse, batches=True)
    assert all(len(rows) == 320 for rows in before.values())

    steps = list(run(connection, warehouse, store, settings))
    assert Counter((step.what, step.rows, step.problem) for step in steps) == {("archive", 80, None): 4}
    assert list(run(connection, warehouse, store, settings)) == []

    after = await both(postgres)
    assert all(len(rows) == 160 for rows in after.values())
    assert await facts(warehouse, batches=True) == cubes
    assert [line["problems"] for line in verify(connection, warehouse, store)] == [[]] * 4
    assert {row["state"] for row in listed(connection)} == {"archived"}
    for month in (*months(15), *months(14)):
        assert into_record(connection, warehouse, store, month, now()) == 80
        assert into_record(connection, warehouse, store, month, now()) == 0
    assert await both(postgres) == before
    await loader.drain()
    assert await facts(warehouse, batches=True) == cubes

    assert len(list(run(connection, warehouse, store, settings))) == 4
    assert await both(postgres) == after
    assert len(list(store.paths())) == 8


async def test_another_reader_reads_the_same_values(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [14])
    before = {
        table: {str(row["id"]): row for row in await postgres.fetch(f"select *, {key} as id from {table}")}
        for table, key in (("responses", "response_id"), ("events", "event_id"))
    }
    list(run(connection, warehouse, store, settings))
    for month in months(14):
        for file in files_of(connection, month):
            table = pq.read_table(io.BytesIO(store.read(file.path)))
            assert (
                pq.ParquetFile(io.BytesIO(store.read(file.path))).metadata.row_group(0).column(0).compression == "ZSTD"
            )
            for row in table.to_pylist():
                known = before[month.fact.table].pop(str(row[month.fact.key]))
                names = ["school_id", "client_id", "received_at", "xid", month.fact.person, month.fact.at]
                names += ["choice", "correct", "score"] if month.fact.table == "responses" else ["app"]
                assert [row[name] for name in names] == [
                    int(known[name]) if name == "xid" else known[name] for name in names
                ]
    assert before == {"responses": {}, "events": {}}


async def test_a_cold_month_leaves_clickhouse_and_comes_back_for_a_time(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [40, 2])
    cubes = await facts(warehouse)
    steps = list(run(connection, warehouse, store, settings))
    assert Counter((step.what, step.rows, step.problem) for step in steps) == {
        ("archive", 80, None): 2, ("leave ClickHouse", 80, None): 2,
    }  # fmt: skip
    await manifest_balances(postgres, warehouse)
    assert all(len(rows) == 80 for rows in (await facts(warehouse)).values())
    assert plan(connection, settings) == []

    for month in months(40):
        assert into_warehouse(connection, warehouse, store, month, now() + timedelta(days=30)) == 80
        assert into_warehouse(connection, warehouse, store, month, now() + timedelta(days=30)) == 0
    assert await facts(warehouse) == cubes
    assert plan(connection, settings) == []
    await warehouse.command("ALTER TABLE events DELETE WHERE batch = 0 AND school_id = 1 SETTINGS mutations_sync = 2")
    assert into_warehouse(connection, warehouse, store, months(40)[0], now() - timedelta(days=1)) == 40
    assert await facts(warehouse) == cubes
    await loader.drain()
    await manifest_balances(postgres, warehouse)

    assert [str(step.month) for step in run(connection, warehouse, store, settings)] == [str(months(40)[0])]
    assert {table: len(rows) for table, rows in (await facts(warehouse)).items()} == {"responses": 160, "events": 80}
    assert into_warehouse(connection, warehouse, store, months(40)[0], now()) == 80
    assert await facts(warehouse) == cubes


async def test_a_lost_clickhouse_gets_the_archived_months_back_too(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [20, 2])
    cubes = await facts(warehouse)
    list(run(connection, warehouse, store, settings))
    await loader.resign()
    for table in ("events", "responses"):
        await warehouse.command(f"TRUNCATE TABLE {table}")
    assert take(connection, warehouse, store, Step(months(20)[0], "return to ClickHouse")).problem is not None

    await loader.load()
    await loader.drain()
    steps = list(run(connection, warehouse, store, settings))
    assert Counter((step.what, step.rows) for step in steps) == {("return to ClickHouse", 80): 2}
    assert await facts(warehouse) == cubes
    await manifest_balances(postgres, warehouse)


@pytest.mark.parametrize("table", ["events", "responses"])
async def test_nothing_is_dropped_while_clickhouse_has_other_rows(
    table: str, postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder,
    connection: Blocking,
) -> None:  # fmt: skip
    await make_world(postgres, loader, [14])
    before = await both(postgres)
    key, lost = {"responses": "response_id", "events": "event_id"}[table], next(iter(before[table]))
    await warehouse.command(f"ALTER TABLE {table} DELETE WHERE {key} = '{lost}' SETTINGS mutations_sync = 2")
    problems = [step for step in run(connection, warehouse, store, settings) if step.problem]
    assert [step.month.fact.table for step in problems] == [table]
    assert "the record has" in str(problems[0].problem)
    assert (await both(postgres))[table] == before[table]
    assert [row["problem"] is not None for row in listed(connection)].count(True) == 1


async def test_a_month_that_is_archived_takes_no_rows_and_is_not_made_again(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    (school, _) = await make_world(postgres, loader, [14])
    list(run(connection, warehouse, store, settings))
    moment = months_ago(14)
    async with postgres.transaction() as asking:
        assert await ensure_months(asking, [moment]) == []
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        await postgres.fetch(
            INSERT_EVENT, {"event_id": derived_id(moment, 1), "school_id": school["school"], "occurred_at": moment}
        )
    with connect(postgres.url) as importing, pytest.raises(Conflict, match="in the archive") as refused:
        ensure_months_blocking(importing, [moment])
    assert refused.value.code == "month_archived"
    with pytest.raises(Conflict, match=f"{moment:%Y-%m}"):
        require_in_record(connection, "responses", [now(), moment])
    for month in months(14):
        into_record(connection, warehouse, store, month, now() + timedelta(days=1))
    require_in_record(connection, "responses", [now(), moment])
    with connect(postgres.url) as importing:
        add_rows(importing, school, moment + timedelta(hours=1), 3, seed=99)
    assert plan(connection, settings) == []


async def test_while_a_month_is_written_it_takes_no_rows(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    from ingestion.archive.export import close, reopen

    (school, _) = await make_world(postgres, loader, [14])
    (month, _) = months(14)
    close(connection, month)
    close(connection, month)
    moment = months_ago(14)
    values = {"event_id": derived_id(moment, 1), "school_id": school["school"], "occurred_at": moment}
    with pytest.raises(psycopg.errors.CheckViolation, match="in the archive"):
        await postgres.fetch(INSERT_EVENT, values)
    reopen(connection, month)
    await postgres.fetch(INSERT_EVENT, values)


async def test_answers_of_lately_keep_their_month(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    (school, _) = await make_world(postgres, loader, [14])
    await postgres.fetch("update quiz_sessions set mode = 'self_paced', ended_at = null where school_id = 1")
    await postgres.fetch(
        "insert into responses (response_id, school_id, session_id, quiz_id, question_id, student_id, attempt_number,"
        " submitted_at) select %s, school_id, id, quiz_id, %s, %s, 1000, now() - interval '3 days' from quiz_sessions"
        " where school_id = 1",
        (derived_id(months_ago(14), "late"), school["single"], school["ann"]),
    )
    await loader.drain()
    steps = list(run(connection, warehouse, store, settings))
    assert {step.month.fact.table: step.rows for step in steps} == {"events": 80, "responses": 0}
    state = month_state(connection, months(14)[1])
    assert state is not None
    assert timedelta(days=55) < state["keep_until"] - now() < timedelta(days=60)
    assert plan(connection, settings) == []
    open_sessions = await postgres.fetch("select count(*) as n from quiz_sessions where ended_at is null")
    assert open_sessions == [{"n": 0}]


async def test_damage_is_found_and_named(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [14])
    list(run(connection, warehouse, store, settings))
    (month, _) = months(14)
    first, second = files_of(connection, month)
    content = store.read(first.path)
    for wrong in (content[:100] + bytes([content[100] ^ 1]) + content[101:], content[:-1], b"", content + b"\0"):
        store.write(first.path, wrong)
        found = {(line["table"], tuple(line["problems"])) for line in verify(connection, warehouse, store)}
        assert [first.path in problems[0] for table, problems in found if table == "events"] == [True]
        assert [problems for table, problems in found if table == "responses"] == [()]
        for bring in (into_record, into_warehouse):
            with pytest.raises(Damaged, match=first.path):
                bring(connection, warehouse, store, month)
    store.delete(first.path)
    ((problem,),) = [line["problems"] for line in verify(connection, warehouse, store) if line["problems"]]
    assert first.path in problem
    store.write(first.path, store.read(second.path))
    connection.execute("update archive_files set sha256 = %s where id = %s", (second.sha256, first.id))
    with pytest.raises(Damaged, match="does not hold the rows of the manifest"):
        into_record(connection, warehouse, store, month)
    assert (await postgres.fetch("select count(*) as n from events")) == [{"n": 0}]


async def test_an_old_file_comes_back_under_a_newer_schema(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [14])
    list(run(connection, warehouse, store, settings))
    await postgres.fetch("alter table events add column device text, add column weight int not null default 7")
    await postgres.fetch("alter table events drop column app")
    (month, _) = months(14)
    assert into_record(connection, warehouse, store, month, now()) == 80
    rows = await postgres.fetch("select device, weight, count(*) as n from events group by 1, 2")
    assert rows == [{"device": None, "weight": 7, "n": 80}]
    (step,) = run(connection, warehouse, store, settings)
    assert (step.rows, step.problem) == (80, None)
    assert all("weight" in file.layout.names for file in files_of(connection, month))


async def test_one_worker_at_a_time(postgres: Postgres, connection: Blocking) -> None:
    with pytest.raises(Busy), office(postgres.url):
        pass


async def test_a_month_that_got_rows_lately_rests(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, connection: Blocking
) -> None:
    await make_world(postgres, loader, [14], rows=3)
    assert len(plan(connection, settings)) == 2
    assert plan(connection, settings.model_copy(update={"archive_rest_hours": 1})) == []
