"""An erased person is nowhere but where the certificate says; everything else is as if he had never been there."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from core.clock import now
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.amendments.erasure import digest
from ingestion.archive.manifest import Month, office
from ingestion.archive.months import run as archive_months
from ingestion.archive.months import verify
from ingestion.archive.restore import into_record
from ingestion.archive.store import Folder
from ingestion.failpoints import armed
from ingestion.loader import Loader
from tests.ingestion.amendments.district import balance, fill, finished, make_district, texts, view, wish
from tests.ingestion.archive.world import make_world, manifest_balances, months_ago

_NUMBERS_ONLY = {
    "record.amendments", "record.erased_people", "record.row_changes", "record.revocations", "record.audit_log",
    "warehouse.erasures", "warehouse.audit_log",
}  # fmt: skip
_OWN_NUMBERS = re.compile(r'"(user_id|student_id|teacher_id|created_by|granted_by|subject|subjects|key)":\[?(\d+)\b')


async def test_nothing_of_him_is_left_in_any_column(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(1), 120)
    await loader.drain()
    before = await texts(postgres, warehouse)
    told = {name: sum("Zwölfender" in row for row in rows) for name, rows in before.items()}
    assert sum(told.values()) >= 6
    row = await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)
    await loader.drain()

    for name, rows in (await texts(postgres, warehouse)).items():
        everything = "\n".join(rows)
        assert "Zwölfender" not in everything, name
        assert "ann@person.example" not in everything, name
        assert f'user-{ids["ann"]}"' not in everything, name
        numbers = {int(number) for _, number in _OWN_NUMBERS.findall(everything)}
        assert name in _NUMBERS_ONLY or ids["ann"] not in numbers, name
    result = row["result"]
    assert bytes(row["hash"]) == digest(result)
    assert result["record"]["responses"]["before"] == result["warehouse"]["responses"]["before"] > 3
    assert {each["after"] for side in ("record", "warehouse") for each in result[side].values()} == {0}
    assert result["record"]["account"] == {"before": 1, "after": 0}
    assert "Zwölfender" not in str(row)
    await balance(postgres, warehouse)


async def test_everything_else_is_as_in_a_district_without_him(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    """Every row that was there and is not his is there, unchanged; nothing else is."""
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(2), 150)
    await loader.drain()
    before = await facts(postgres, warehouse)
    await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)
    await loader.drain()
    assert await facts(postgres, warehouse) == {
        table: [row for row in rows if ids["ann"] not in row[:2]] for table, rows in before.items()
    }


async def facts(postgres: Postgres, warehouse: Warehouse) -> dict[str, list[Any]]:
    """The facts and dimensions of both stores, whom they are about first."""
    queries = {
        "responses": "student_id, 0, response_id, question_id, choice, score",
        "events": "user_id, 0, event_id, event_name",
        "users": "id, 0, name",
        "enrolments": "user_id, 0, classroom_id",
        "quizzes": "0, coalesce(created_by, 0), id, title",
        "quiz_results": "student_id, 0, score",
    }
    found: dict[str, list[Any]] = {}
    for table, columns in queries.items():
        rows = await postgres.fetch(f"select {columns} from {table} order by 1, 2, 3")
        found[f"record.{table}"] = [[str(value) if index > 1 else value for index, value in enumerate(row.values())]
                                    for row in rows]  # fmt: skip
        final = "" if table in ("responses", "events") else "FINAL"
        result = (await warehouse.query(f"SELECT {columns} FROM {table} {final} ORDER BY 1, 2, 3")).result_rows
        found[f"warehouse.{table}"] = sorted([list(map(_plain, row)) for row in result], key=str)
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


_POINTS = ["amend_erasing", "amend_erased", "amend_sent", "amend_archived", "amend_certified"]


class Crash(Exception):
    """What a fail point throws."""


def crash() -> None:
    raise Crash


@pytest.mark.parametrize("point", _POINTS)
async def test_a_crash_at_each_point(point: str, postgres: Postgres, warehouse: Warehouse, settings: Settings) -> None:
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(3), 60)
    first = Loader(postgres, warehouse, settings)
    await first.drain()
    amendment = await wish(postgres, ids["ann"], ids["school"])
    with armed(point, crash), pytest.raises(Crash):
        await finished(postgres, first, amendment.id)
    await first.close()
    await view(postgres, ids, ids["ben"])
    second = Loader(postgres, warehouse, settings)
    row = await finished(postgres, second, amendment.id)
    await second.drain()
    await second.close()
    assert row["result"]["record"]["account"] == {"before": 1, "after": 0}
    assert len(await postgres.fetch("select 1 from audit_log where action = 'erasure.done'")) == 1
    await balance(postgres, warehouse)


@pytest.mark.parametrize("seed", range(4))
async def test_random_interleavings_with_loading(
    seed: int, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    """Rows come, loaders die anywhere, people are erased: each living person's rows are there once, nobody else's."""
    chance = random.Random(seed)
    ids = await make_district(postgres)
    asked: list[int] = []
    loader = Loader(postgres, warehouse, settings.model_copy(update={"batch_rows": 7}))
    for _ in range(25):
        deed = chance.choice(["rows", "load", "crash", "erase", "late"])
        if deed == "rows":
            living = [key for key in ("ann", "ben") if ids[key] not in asked]
            for _ in range(chance.randrange(12)):
                await view(postgres, ids, ids[chance.choice([*living, "teacher"])], chance.choice([0, 33]))
        elif deed == "late":
            for row in await postgres.fetch("select subject from amendments where state <> 'done'"):
                await view(postgres, ids, row["subject"])
        elif deed == "load":
            await loader.load()
        elif deed == "crash":
            point = chance.choice(["prepared", "inserting", "inserted", "committed", "recovered", *_POINTS])
            try:
                with armed(point, crash):
                    await loader.load()
            except Crash:
                await loader.close()
                loader = Loader(postgres, warehouse, settings.model_copy(update={"batch_rows": 7}))
        elif len(asked) < 2:
            user = ids["ann" if not asked else "ben"]
            asked.append(user)
            await wish(postgres, user, ids["school"], 0 if chance.random() < 0.7 else 1)
    for amendment in await postgres.fetch("select id from amendments order by id"):
        await finished(postgres, loader, amendment["id"], 2_000)
    await loader.drain()
    await loader.close()
    record = [row["id"] for row in await postgres.fetch("select event_id as id from events order by 1")]
    held = [row[0] for row in (await warehouse.query("SELECT event_id FROM events")).result_rows]
    assert sorted(held) == sorted(record)
    late = {row["user_id"] for row in await postgres.fetch("select user_id from events")} & set(asked)
    assert not late
    await balance(postgres, warehouse)


async def test_while_a_batch_is_prepared_nothing_is_erased(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(4), 40)
    with armed("prepared", crash), pytest.raises(Crash):
        await loader.drain()
    amendment = await wish(postgres, ids["ann"], ids["school"])
    row = await finished(postgres, loader, amendment.id)
    await loader.drain()
    assert row["result"]["warehouse"]["events"]["before"] + row["result"]["warehouse"]["responses"]["before"] > 0
    await balance(postgres, warehouse)


async def test_what_comes_in_late_goes_too(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await make_district(postgres)
    await view(postgres, ids, ids["ann"])
    await loader.drain()
    amendment = await wish(postgres, ids["ann"], ids["school"], 2)
    await loader.load()
    await view(postgres, ids, ids["ann"])
    await loader.drain()
    assert await seen(warehouse, ids["ann"]) == 1
    row = await finished(postgres, loader, amendment.id, 2_000)
    assert await seen(warehouse, ids["ann"]) == 0
    assert row["result"]["record"]["events"]["before"] == 2
    await balance(postgres, warehouse)


async def seen(warehouse: Warehouse, user: int) -> int:
    """His events in ClickHouse."""
    return int((await warehouse.query(f"SELECT count() FROM events WHERE user_id = {user}")).result_rows[0][0])


async def test_a_teacher_leaves_his_quizzes_and_his_class(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await make_district(postgres)
    await loader.drain()
    await finished(postgres, loader, (await wish(postgres, ids["teacher"], ids["school"])).id)
    await loader.drain()
    assert await postgres.fetch("select created_by from quizzes where id = %s", [ids["quiz"]]) == [{"created_by": None}]
    query = f"SELECT teacher_id, name FROM classrooms FINAL WHERE id = {ids['classroom']}"
    assert [tuple(row) for row in (await warehouse.query(query)).result_rows] == [(None, "7b")]


async def test_twice_and_nobody(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await make_district(postgres)
    await loader.drain()
    first = await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)
    for user in (ids["ann"], 987_654):
        again = await finished(postgres, loader, (await wish(postgres, user, ids["school"])).id)
        assert sum(each["before"] for each in again["result"]["record"].values()) == 0
    assert first["result"]["record"]["account"]["before"] == 1


async def test_a_hold_makes_it_wait(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await make_district(postgres)
    for column, value in (("user_id", ids["ann"]), ("school_id", ids["school"])):
        held = await postgres.fetch(f"insert into holds ({column}, reason) values (%s, 'court') returning id", [value])
        amendment = await wish(postgres, ids["ann"], ids["school"])
        for _ in range(3):
            await loader.load()
        state = await postgres.fetch("select state from amendments where id = %s", [amendment.id])
        assert state == [{"state": "held"}]
        assert await postgres.fetch("select 1 from users where id = %s", [ids["ann"]])
        if column == "user_id":
            await postgres.fetch("update amendments set state = 'failed' where id = %s", [amendment.id])
            await postgres.fetch("update holds set released_at = now() where id = %s", [held[0]["id"]])
    await postgres.fetch("update holds set released_at = now()")
    await finished(postgres, loader, amendment.id)


async def test_a_restored_record_erases_again(postgres: Postgres, warehouse: Warehouse, settings: Settings) -> None:
    """The account is back as a backup brings it; an account of the same number made later is somebody else."""
    ids = await make_district(postgres)
    loader = Loader(postgres, warehouse, settings)
    await loader.drain()
    kept = await postgres.fetch("select * from users where id = any(%s)", [[ids["ann"], ids["ben"]]])
    for key in ("ann", "ben"):
        await finished(postgres, loader, (await wish(postgres, ids[key], ids["school"])).id)
    await loader.close()
    await postgres.fetch("delete from amendments")
    await postgres.fetch("delete from erased_people")
    insert = "insert into users (id, school_id, role, name, created_at) values (%s, %s, %s, %s, %s)"
    ann, ben = sorted(kept, key=lambda row: row["name"])
    await postgres.fetch(insert, [ann["id"], ids["school"], "student", ann["name"], ann["created_at"]])
    await postgres.fetch(insert, [ben["id"], ids["school"], "student", "somebody else", "2026-01-01"])
    second = Loader(postgres, warehouse, settings)
    await second.load()
    (again,) = await postgres.fetch("select id, subject from amendments")
    assert again["subject"] == ids["ann"]
    await postgres.fetch("update amendments set settle_until = now()")
    await finished(postgres, second, again["id"])
    await second.close()
    left = {row["name"] for row in await postgres.fetch("select name from users where school_id = %s", [ids["school"]])}
    assert left == {"teacher", "somebody else"}


async def test_files_of_the_archive_are_written_anew(
    postgres: Postgres, warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    """Months that have left the record: his rows go from ClickHouse, from their batches and from their files."""
    chosen = settings.model_copy(update={"archive_url": str(tmp_path / "archive"), "archive_rest_hours": 0})
    store, loader = Folder(tmp_path / "archive"), Loader(postgres, warehouse, chosen)
    ids, _ = await make_world(postgres, loader, [15, 14, 2])
    with office(postgres.url) as connection:
        assert len(list(archive_months(connection, warehouse, store, chosen))) == 4
    before = await facts_of(warehouse)
    row = await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)

    his = sum(user == ids["ann"] for user, _ in before)
    there = row["result"]["warehouse"]
    assert there["responses"]["before"] + there["events"]["before"] == his
    assert 0 < row["result"]["archive"]["before"] < his
    assert await facts_of(warehouse) == [each for each in before if each[0] != ids["ann"]]
    await manifest_balances(postgres, warehouse)
    with office(postgres.url) as connection:
        assert [line["problems"] for line in verify(connection, warehouse, store)] == [[]] * 4
        for table in ("events", "responses"):
            for age in (15, 14):
                into_record(connection, warehouse, store, Month.of(table, months_ago(age).date()), now())
    assert await postgres.fetch("select 1 as n from events where user_id = %s", [ids["ann"]]) == []
    assert await postgres.fetch("select 1 as n from responses where student_id = %s", [ids["ann"]]) == []
    await loader.close()


async def facts_of(warehouse: Warehouse) -> list[tuple[int, str]]:
    """Whose each row is, and its id."""
    query = """SELECT ifNull(user_id, 0), toString(event_id) FROM events
               UNION ALL SELECT student_id, toString(response_id) FROM responses"""
    return sorted((row[0], row[1]) for row in (await warehouse.query(query)).result_rows)


async def test_rows_that_clickhouse_lost_leave_their_batches_too(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    """What an audit would send again is not expected any more; ben's lost rows still are."""
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(5), 60)
    await loader.drain()
    await warehouse.command("DELETE FROM events WHERE cityHash64(event_id) % 2 = 0")
    (lost,) = (await warehouse.query(f"SELECT count() FROM events WHERE user_id = {ids['ann']}")).result_rows
    row = await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)
    assert 0 < lost[0] < row["result"]["record"]["events"]["before"]
    expected = await postgres.fetch_one("select sum(rows) as n from batches where pipeline = 'events'")
    assert expected == await postgres.fetch_one("select count(*)::numeric as n from events")


async def test_a_twin_that_will_take_the_place_of_a_table(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await make_district(postgres)
    await fill(postgres, ids, random.Random(6), 30)
    await loader.drain()
    for twin in ("events_replay_3", "events_next"):
        await warehouse.command(f"CREATE TABLE {twin} AS events")
        await warehouse.command(f"INSERT INTO {twin} SETTINGS async_insert = 0 SELECT * FROM events")
    await finished(postgres, loader, (await wish(postgres, ids["ann"], ids["school"])).id)
    for twin in ("events_replay_3", "events_next"):
        query = f"SELECT count() FROM {twin} WHERE user_id = {ids['ann']} SETTINGS apply_mutations_on_fly = 0"
        assert (await warehouse.query(query)).result_rows == [(0,)]
