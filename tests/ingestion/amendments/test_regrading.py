"""A regrade is the same as grading everything from the beginning with the new key."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.amendments.queue import Amendment, ask
from ingestion.failpoints import armed
from ingestion.grading import grade
from ingestion.loader import Loader
from tests.ingestion.amendments.district import answer, balance, finished, make_district, open_sitting

_KEYS = {
    "single": ["A", "B", "C", None],
    "several": ["A", "A,C", "B,C", "A,B,C", None],
    "number": ["3", "3.14±0.01", "1..4", None],
    "essay": ["yes", "no", "it's a \\ 'quote'", None],
}
_CHOICES = {
    "single": ["A", "B", "C", None],
    "several": ["A", "A,C", "B", "A,B,C", "", None],
    "number": ["3", "3.14", "4,5", "x", None],
    "essay": ["yes", "no", "it's a \\ 'quote'", "tab\tline\nbreak", None],
}


class Crash(Exception):
    """What a fail point throws."""


def crash() -> None:
    raise Crash


async def set_key(postgres: Postgres, ids: dict[str, int], question: str, key: str | None) -> Amendment:
    """Correct a key and ask for the regrade."""
    async with postgres.transaction() as connection:
        await connection.execute("update questions set answer_key = %s where id = %s", [key, ids[question]])
        return await ask(connection, "regrade", ids[question], ids["school"], (None, "teacher"), settle_seconds=0)


async def answers(postgres: Postgres, ids: dict[str, int], chance: random.Random, number: int) -> None:
    """Random answers, each graded with the key of now, in sittings of three months; one is an import."""
    sittings = [
        await open_sitting(postgres, ids, days, mode) for days, mode in ((0, "live"), (40, "imported"), (70, "live"))
    ]
    keys = {row["id"]: row for row in await postgres.fetch("select id, qtype, options, answer_key from questions")}
    for index in range(number):
        question = chance.choice(list(_CHOICES))
        told = keys[ids[question]]
        graded = grade(told["qtype"], told["options"], told["answer_key"], chance.choice(_CHOICES[question]))
        student = ids[chance.choice(["ann", "ben"])]
        values: dict[str, Any] = {"choice": graded.choice, "correct": graded.correct, "score": graded.score}
        await answer(postgres, ids, chance.choice(sittings), question, student, attempt=index + 1, **values)


async def check(postgres: Postgres, warehouse: Warehouse) -> None:
    """Both stores hold for each answer the mark that grading gives it now; what an import left open keeps its own."""
    rows = await postgres.fetch(
        """select r.*, s.mode, q.qtype, q.options, q.answer_key from responses r
           join quiz_sessions s on s.id = r.session_id join questions q on q.id = r.question_id"""
    )
    wanted = {}
    for row in rows:
        if row["choice"] is not None or row["mode"] != "imported":
            graded = grade(row["qtype"], row["options"], row["answer_key"], row["choice"])
            assert (row["correct"], row["score"]) == (graded.correct, graded.score), row
        wanted[row["response_id"]] = (row["correct"], row["score"], row["choice"])
    found = (await warehouse.query("SELECT response_id, correct, score, choice FROM responses")).result_rows
    assert {row[0]: tuple(row[1:]) for row in found} == wanted
    await balance(postgres, warehouse)


@pytest.mark.parametrize("seed", range(3))
async def test_a_regrade_is_grading_from_the_beginning(
    seed: int, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    chance = random.Random(seed)
    ids = await make_district(postgres)
    loader = Loader(postgres, warehouse, settings)
    await loader.drain()
    for _ in range(4):
        await answers(postgres, ids, chance, 30)
        if chance.random() < 0.7:
            await loader.load()
        question = chance.choice(list(_KEYS))
        amendment = await set_key(postgres, ids, question, chance.choice(_KEYS[question]))
        if chance.random() < 0.6:
            try:
                with armed(chance.choice(["marking", "marked", "sent", "prepared", "inserted"]), crash):
                    await loader.load()
            except Crash:
                await loader.close()
                loader = Loader(postgres, warehouse, settings)
        row = await finished(postgres, loader, amendment.id)
        assert row["result"]["key"] == (await key_of(postgres, ids[question]))
        await loader.drain()
        await check(postgres, warehouse)
    await loader.close()


async def key_of(postgres: Postgres, question: int) -> str | None:
    """The key of now."""
    row = await postgres.fetch_one("select answer_key from questions where id = %s", [question])
    return None if row is None else row["answer_key"]


async def test_an_answer_graded_with_the_old_key_that_comes_in_late(
    postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    ids = await make_district(postgres)
    sitting = await open_sitting(postgres, ids)
    await answer(postgres, ids, sitting, "single", ids["ann"], choice="B")
    await loader.drain()
    async with postgres.transaction() as connection:
        await connection.execute("update questions set answer_key = 'C' where id = %s", [ids["single"]])
        amendment = await ask(connection, "regrade", ids["single"], ids["school"], (None, "teacher"), settle_seconds=2)
    await loader.load()
    await answer(postgres, ids, sitting, "single", ids["ben"], choice="B", correct=True, score=1.0)
    row = await finished(postgres, loader, amendment.id, 2_000)
    await loader.drain()
    await check(postgres, warehouse)
    assert row["result"]["answers"] == row["result"]["changed"] == row["result"]["down"] == 2


async def test_readers_see_all_old_or_all_new(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    """While the mutation is on its way to the disk, every part shows the new marks already."""
    ids = await make_district(postgres)
    for days in (0, 40, 70, 100):
        sitting = await open_sitting(postgres, ids, days)
        for attempt in range(20):
            await answer(postgres, ids, sitting, "single", ids["ann"], choice="B", attempt=attempt + 1)
    await loader.drain()
    query = "SELECT countIf(correct), count() FROM responses"
    seen = [(await warehouse.query(query)).result_rows[0]]
    amendment = await set_key(postgres, ids, "single", "A")

    await loader.load()
    for _ in range(30):
        seen.append((await warehouse.query(query)).result_rows[0])
    assert set(map(tuple, seen)) == {(80, 80), (0, 80)}
    await finished(postgres, loader, amendment.id)


async def test_the_record_refuses_any_other_change(postgres: Postgres) -> None:
    ids = await make_district(postgres)
    sitting = await open_sitting(postgres, ids)
    await answer(postgres, ids, sitting, "single", ids["ann"])
    allow = "select set_config('eduanalytics.amending', 'regrade', true)"
    for preparation, change in (("select 1", "correct = false"), (allow, "choice = 'A'"), (allow, "student_id = 1")):
        with pytest.raises(psycopg.errors.RestrictViolation):
            async with postgres.transaction() as connection:
                await connection.execute(preparation)
                await connection.execute(f"update responses set {change}")
    async with postgres.transaction() as connection:
        await connection.execute(allow)
        await connection.execute("update responses set correct = false, score = 0")
    with pytest.raises(psycopg.errors.RestrictViolation):
        await postgres.fetch("update responses set correct = true")


async def test_sums_stay_what_they_were(postgres: Postgres, warehouse: Warehouse, loader: Loader) -> None:
    ids = await make_district(postgres)
    await loader.drain()
    before = await postgres.fetch("select * from quiz_results order by id")
    await finished(postgres, loader, (await set_key(postgres, ids, "single", "A")).id)
    assert await postgres.fetch("select * from quiz_results order by id") == before
