"""A corrected key: told before, marked everywhere, kept in the history."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from core.postgres import Postgres
from tests.api.audit.people import Small, lines, make_small
from tests.api.conftest import Person, data, fault


async def shares(asker: Person) -> dict[str, Any]:
    """The measures that depend on the key."""
    query = {"measures": ["responses.count", "responses.correct_count"], "dimensions": ["questions.title"]}
    body = (await asker.post("/cubejs-api/v1/load", {"query": query})).json()
    return {row["questions.title"]: int(row["responses.correct_count"] or 0) for row in body["data"]}


async def applied(asker: Person, path: str) -> dict[str, Any]:
    """The newest correction when reports are right."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = data(await asker.get(path))[0]
            if found["applied_at"]:
                return found
            await asyncio.sleep(0.05)


async def answer_all(small: Small, application: FastAPI) -> None:
    """Ann takes B and A,C; Ben C and A."""
    for pupil, single, several in ((small.ann, "B", ["A", "C"]), (small.ben, "C", ["A"])):
        for question, choice in (("single", single), ("several", several)):
            body = {"question_id": small.ids[question], "quiz_id": small.ids["quiz"], "answer": choice}
            data(await pupil.post("/api/v1/responses", body), 201)
    await application.state.services.ingestion.loader.drain()


def path_of(small: Small, question: str) -> str:
    return f"/api/v1/quizzes/{small.ids['quiz']}/questions/{small.ids[question]}/key"


async def test_preview_change_report_history(small: Small, application: FastAPI, postgres: Postgres) -> None:
    await answer_all(small, application)
    assert (await shares(small.admin))["single"] == 1
    path = path_of(small, "single")
    told = data(await small.teacher.post(f"{path}/preview", {"answer_key": "1/4"}))
    assert (told["old_key"], told["new_key"]) == ("B", "C")
    assert (told["answers"], told["changed"], told["up"], told["down"]) == (2, 2, 1, 1)
    assert [(row["student_id"], row["after"] - row["before"]) for row in told["students"]] == [
        (small.ann.id, -1),
        (small.ben.id, 1),
    ]
    assert (await shares(small.admin))["single"] == 1
    assert data(await small.teacher.get(path)) == []

    asked = data(await small.teacher.call("PUT", path, json={"answer_key": "C", "reason": "a misprint"}), 202)
    found = await applied(small.teacher, path)
    assert found["regrade"] == asked["id"]
    assert (found["old_key"], found["new_key"], found["reason"]) == ("B", "C", "a misprint")
    assert found["result"]["changed"] == 2
    assert await shares(small.admin) == {"single": 1, "several": 1}
    rows = await postgres.fetch("select choice, correct, score from responses where question_id = %s order by choice",
                                [small.ids["single"]])  # fmt: skip
    assert [tuple(row.values()) for row in rows] == [("B", False, 0.0), ("C", True, 1.0)]
    fault(await small.teacher.call("PUT", path, json={"answer_key": "C"}), 409, "same_key")
    (line,) = [each for each in await lines(small.admin, action="key.corrected") if each["outcome"] == "done"]
    assert (line["details"]["old_key"], line["details"]["new_key"]) == ("B", "C")


async def test_partial_credit_and_a_question_that_does_not_count(small: Small, application: FastAPI) -> None:
    await answer_all(small, application)
    path = path_of(small, "several")
    data(await small.teacher.call("PUT", path, json={"answer_key": ["A"]}), 202)
    assert (await applied(small.teacher, path))["result"]["up"] == 1
    assert (await shares(small.admin))["several"] == 1
    told = data(await small.teacher.post(f"{path}/preview", {"answer_key": None}))
    assert told["uncounted"] == 2
    data(await small.teacher.call("PUT", path, json={"answer_key": None}), 202)
    await applied(small.teacher, path)
    assert (await shares(small.admin))["several"] == 0
    body = {"question_id": small.ids["several"], "quiz_id": small.ids["quiz"], "answer": ["A"]}
    assert data(await small.ben.post("/api/v1/responses", body), 201).get("correct") is None


async def test_who_may_correct(small: Small, client: httpx2.AsyncClient, postgres: Postgres) -> None:
    other = await make_small(client, postgres, "Valley")
    path = path_of(small, "single")
    fault(await small.ann.call("PUT", path, json={"answer_key": "C"}), 403)
    for stranger in (other.teacher, other.admin):
        fault(await stranger.call("PUT", path, json={"answer_key": "C"}), 404)
        fault(await stranger.post(f"{path}/preview", {"answer_key": "C"}), 404)
        fault(await stranger.get(path), 404)
    fault(
        await small.teacher.call("PUT", path.replace(str(small.ids["single"]), "98765"), json={"answer_key": "C"}), 404
    )
    ask = "insert into quiz_questions (quiz_id, quiz_version, position, question_id) values (%s, 1, 9, %s)"
    await postgres.fetch(ask, [other.ids["quiz"], small.ids["single"]])
    fault(await small.teacher.call("PUT", path, json={"answer_key": "C"}), 404)
    data(await small.operator.call("PUT", path, json={"answer_key": "C"}), 202)


@pytest.mark.parametrize("key", ["Z", ["A"], 7, {"a": 1}, True])
async def test_a_key_that_is_none(small: Small, key: Any) -> None:
    fault(await small.teacher.call("PUT", path_of(small, "single"), json={"answer_key": key}), 422)


async def test_answers_of_a_month_that_left_the_record(small: Small, application: FastAPI, postgres: Postgres) -> None:
    await answer_all(small, application)
    await postgres.fetch("delete from responses where student_id = %s", [small.ben.id])
    answer = await small.teacher.call("PUT", path_of(small, "single"), json={"answer_key": "C"})
    assert fault(answer, 409, "archived_answers")["message"].startswith("1 answers")
    assert (await postgres.fetch("select answer_key from questions where id = %s", [small.ids["single"]])) == [
        {"answer_key": "B"}
    ]
