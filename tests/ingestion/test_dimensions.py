"""ClickHouse shows each row as it is now: the newest version wins, a deleted row is gone."""

from __future__ import annotations

from typing import Any

import psycopg

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.dimensions import ENTITIES
from ingestion.loader import Loader
from tests.ingestion.rows import make_school


async def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    """The rows of one query."""
    return [tuple(row) for row in (await warehouse.query(query)).result_rows]


async def test_what_is_there_at_the_first_start_is_brought(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    school = await make_school(postgres)
    await postgres.fetch("delete from row_changes")
    await loader.drain()
    assert await rows(warehouse, "SELECT id, name, role FROM users FINAL ORDER BY id") == [
        (school["teacher"], "teacher", "teacher"),
        (school["ann"], "ann", "student"),
        (school["ben"], "ben", "student"),
    ]
    for entity in ENTITIES:
        kept = (await postgres.fetch(f"select count(*) as n from {entity}"))[0]["n"]
        assert await rows(warehouse, f"SELECT count() FROM {entity} FINAL") == [(kept,)], entity


async def test_every_column_keeps_its_value(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await loader.drain()
    skills = ["plain", "it's", 'a "quote"', "back\\slash", "tab\tline\n", "漢字", ""]
    attrs = '{"a": "x\\ty", "b": [1, null]}'
    async with postgres.transaction() as connection:
        await connection.execute("insert into schools (name, attrs) values ('S', %s)", (attrs,))
        await connection.execute(
            "insert into questions (title, skills, options) values ('Why\n?', %s, '[{\"key\": \"A\"}]')", (skills,)
        )
        await connection.execute("insert into questions (title) values ('bare')")
    await loader.drain()
    found = await rows(
        warehouse, "SELECT title, skills, options, answer_key, max_score FROM questions FINAL ORDER BY id"
    )
    assert found == [("Why\n?", skills, '[{"key": "A"}]', None, 1.0), ("bare", [], "[]", None, 1.0)]
    assert await rows(warehouse, "SELECT attrs FROM schools FINAL") == [(attrs,)]


async def test_updates_and_deletes_are_seen(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    school = await make_school(postgres)
    await loader.drain()
    async with postgres.transaction() as connection:
        await connection.execute("update users set name = 'Anna' where id = %s", (school["ann"],))
        await connection.execute("delete from enrolments where user_id = %s", (school["ben"],))
        await connection.execute("delete from users where id = %s", (school["ben"],))
    await loader.drain()
    assert await rows(warehouse, "SELECT name FROM users FINAL ORDER BY id") == [("teacher",), ("Anna",)]
    assert await rows(warehouse, "SELECT user_id FROM enrolments FINAL") == [(school["ann"],)]


async def test_a_row_made_and_deleted_between_two_looks_stays_away(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await loader.drain()
    await postgres.fetch("insert into schools (name) values ('short-lived')")
    await postgres.fetch("update schools set name = 'longer'")
    await postgres.fetch("delete from schools")
    await loader.drain()
    assert await rows(warehouse, "SELECT * FROM schools FINAL") == []


async def test_the_last_update_wins_though_its_transaction_is_the_older_one(
    postgres_url: str, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    school = await make_school(postgres)
    await loader.drain()
    async with await psycopg.AsyncConnection.connect(postgres_url) as older:
        await older.execute("update schools set name = 'older got its number' where id = %s", (school["school"],))
        await postgres.fetch("update users set name = 'second' where id = %s", (school["ann"],))
        await loader.drain()
        await older.execute("update users set name = 'last' where id = %s", (school["ann"],))
        await older.commit()
    await loader.drain()
    query = f"SELECT name FROM users FINAL WHERE id = {school['ann']}"
    assert await rows(warehouse, query) == [("last",)]


async def test_a_row_that_goes_back_to_an_earlier_state_is_not_taken_for_a_repetition(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    await make_school(postgres)
    for name in ("one", "two", "one"):
        await postgres.fetch("update schools set name = %s", (name,))
        await loader.drain()
        assert await rows(warehouse, "SELECT name FROM schools FINAL") == [(name,)]


async def test_more_changes_than_a_batch_holds(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    await loader.drain()
    await postgres.fetch("insert into schools (name) select 'School ' || n from generate_series(1, 230) n")
    await postgres.fetch("update schools set name = name || '!' where id % 2 = 0")
    await loader.drain()
    expected = [(row["name"],) for row in await postgres.fetch("select name from schools order by id")]
    assert await rows(warehouse, "SELECT name FROM schools FINAL ORDER BY id") == expected


async def test_a_new_warehouse_is_filled_from_the_beginning(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings
) -> None:
    await postgres.fetch("insert into schools (name) select 'School ' || n from generate_series(1, 120) n")
    await loader.drain()
    assert await rows(warehouse, "SELECT count(), uniqExact(id) FROM schools FINAL") == [(120, 120)]
