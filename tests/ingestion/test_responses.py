"""Answers: graded by the server, numbered without gaps, the same answer to a retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from core.errors import Conflict, EduError, Forbidden, InvalidField, NotFound
from core.postgres import Postgres
from core.settings import Settings
from ingestion.responses import Responder, Submission
from ingestion.scope import Caller
from ingestion.writer import Writer
from tests.ingestion.rows import make_school


@pytest.fixture
async def writer(postgres: Postgres, settings: Settings) -> AsyncIterator[Writer]:
    """A running group commit."""
    async with Writer(postgres, settings) as made:
        yield made


@pytest.fixture
async def school(postgres: Postgres) -> dict[str, int]:
    """A small school."""
    return await make_school(postgres)


@pytest.fixture
def responder(postgres: Postgres, writer: Writer) -> Responder:
    """The door for answers."""
    return Responder(postgres, writer)


def ann(school: dict[str, int]) -> Caller:
    """A student."""
    return Caller(school["ann"], school["school"], "student")


def answer(school: dict[str, int], choice: Any = "B", **more: Any) -> Submission:
    """Ann's answer to the single-choice question."""
    return Submission(
        **{"question_id": school["single"], "student_id": school["ann"], "quiz_id": school["quiz"], **more},
        choice=choice,
    )


@pytest.mark.parametrize(
    ("question", "choice", "kept", "correct", "score"),
    [
        ("single", "B", "B", True, 1.0),
        ("single", "1/3", "B", True, 1.0),
        ("single", "C", "C", False, 0.0),
        ("several", ["C", "A"], "A,C", True, 1.0),
        ("several", "A", "A", False, 0.5),
        ("several", ["A", "B"], "A,B", False, 0.0),
        ("number", "3.15", "3.15", True, 1.0),
        ("number", 3.2, "3.2", False, 0.0),
        ("number", "much", "much", False, 0.0),
        ("essay", "Because.", "Because.", None, None),
    ],
)
async def test_the_server_grades(
    question: str, choice: Any, kept: str, correct: bool | None, score: float | None,
    school: dict[str, int], responder: Responder,
) -> None:  # fmt: skip
    got = await responder.submit(answer(school, choice, question_id=school[question]), ann(school))
    assert (got.status, got.choice, got.correct, got.score) == ("accepted", kept, correct, score)


async def test_the_answer_and_its_event_are_committed_together(
    postgres: Postgres, school: dict[str, int], responder: Responder
) -> None:
    got = await responder.submit(answer(school, time_spent=38.5), ann(school))
    (row,) = await postgres.fetch("select * from responses")
    (event,) = await postgres.fetch("select * from events")
    assert row["response_id"] == got.response_id
    assert (row["time_spent_ms"], row["classroom_id"], row["attempt_number"]) == (38_500, school["classroom"], 1)
    assert (event["event_name"], event["user_id"], event["question_id"]) == (
        "answer_submitted", school["ann"], school["single"],
    )  # fmt: skip
    assert event["xid"] == row["xid"]
    assert event["props"] == {
        "question_id": school["single"], "answer": "B", "correct": True, "time_spent": 38.5, "attempt_number": 1,
    }  # fmt: skip


async def test_a_retry_gets_the_same_answer(postgres: Postgres, school: dict[str, int], responder: Responder) -> None:
    first = await responder.submit(answer(school, client_id="k1"), ann(school))
    again = await responder.submit(answer(school, client_id="k1"), ann(school))
    assert again == replace(first, status="duplicate")
    other = await responder.submit(answer(school, "C", client_id="k2"), ann(school))
    assert (other.attempt_number, other.correct) == (2, False)
    assert (
        len(await postgres.fetch("select 1 as n from responses"))
        == len(await postgres.fetch("select 1 as n from events"))
        == 2
    )


async def test_another_answer_under_the_same_name_is_a_conflict(school: dict[str, int], responder: Responder) -> None:
    await responder.submit(answer(school, client_id="k1"), ann(school))
    with pytest.raises(Conflict):
        await responder.submit(answer(school, "C", client_id="k1"), ann(school))
    with pytest.raises(Conflict):
        await responder.submit(answer(school, "C", attempt_number=1), ann(school))


async def test_many_at_once_share_one_session_and_number_their_attempts_without_gap(
    postgres: Postgres, settings: Settings, school: dict[str, int], responder: Responder
) -> None:
    async with Writer(postgres, settings) as another:
        doors = [responder, Responder(postgres, another)]
        got = await asyncio.gather(*(doors[n % 2].submit(answer(school), ann(school)) for n in range(30)))
    assert sorted(item.attempt_number for item in got) == list(range(1, 31))
    assert len({item.session_id for item in got}) == 1
    assert len({item.response_id for item in got}) == 30


async def test_one_bad_answer_does_not_harm_its_neighbours(school: dict[str, int], responder: Responder) -> None:
    got = await responder.submit_all(
        [answer(school), answer(school, "Z"), answer(school, "A", question_id=10**9)], ann(school)
    )
    assert not isinstance(got[0], EduError)
    assert got[0].correct
    assert isinstance(got[1], InvalidField)
    assert got[1].details["options"] == ["A", "B", "C"]
    assert isinstance(got[2], NotFound)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"quiz_id": 999_999}, NotFound),
        ({"session_id": 999_999}, NotFound),
        ({"classroom_id": 999_999}, NotFound),
        ({"student_id": "ben"}, Forbidden),
        ({"time_spent": -1}, InvalidField),
        ({"attempt_number": 0}, InvalidField),
        ({"client_id": ""}, InvalidField),
        ({"choice": "\x00"}, InvalidField),
        ({"choice": {"a": 1}}, InvalidField),
    ],
)
async def test_what_is_refused(
    change: dict[str, Any], error: type[EduError], postgres: Postgres, school: dict[str, int], responder: Responder
) -> None:
    values: dict[str, Any] = {key: school["ben"] if value == "ben" else value for key, value in change.items()}
    with pytest.raises(error):
        await responder.submit(replace(answer(school), **values), ann(school))
    assert await postgres.fetch("select 1 as n from responses") == []


async def test_other_schools_are_out_of_reach(postgres: Postgres, school: dict[str, int], responder: Responder) -> None:
    other = await make_school(postgres, "Lake School")
    teacher = Caller(other["teacher"], other["school"], "teacher")
    with pytest.raises(NotFound):
        await responder.submit(answer(school), teacher)
    with pytest.raises(NotFound):
        await responder.submit(answer(school, quiz_id=other["quiz"], question_id=other["single"]), ann(school))
    with pytest.raises(NotFound):
        await responder.submit(answer(school, classroom_id=other["classroom"]), ann(school))


async def test_a_teacher_answers_for_his_own_students_only(
    postgres: Postgres, school: dict[str, int], responder: Responder
) -> None:
    mine = Caller(school["teacher"], school["school"], "teacher")
    assert (await responder.submit(answer(school), mine)).status == "accepted"
    (row,) = await postgres.fetch(
        "insert into users (school_id, role, name) values (%s, 'teacher', 'new') returning id", (school["school"],)
    )
    with pytest.raises(Forbidden):
        await responder.submit(answer(school), Caller(row["id"], school["school"], "teacher"))


async def test_a_question_that_one_quiz_asks_finds_its_quiz(school: dict[str, int], responder: Responder) -> None:
    got = await responder.submit(answer(school, quiz_id=None), ann(school))
    assert got.quiz_id == school["quiz"]


async def test_an_ended_session_takes_no_more(postgres: Postgres, school: dict[str, int], responder: Responder) -> None:
    first = await responder.submit(answer(school), ann(school))
    await postgres.fetch("update quiz_sessions set ended_at = now()")
    with pytest.raises(Conflict):
        await responder.submit(answer(school, session_id=first.session_id), ann(school))
    second = await responder.submit(answer(school), ann(school))
    assert second.session_id != first.session_id
    assert second.attempt_number == 1


async def test_a_live_session_is_answered_over_its_socket_only(
    postgres: Postgres, school: dict[str, int], responder: Responder
) -> None:
    """The answer here says at once what was right; in a live quiz that would give the key away."""
    (row,) = await postgres.fetch(
        "insert into quiz_sessions (school_id, quiz_id, mode) values (%s, %s, 'live') returning id",
        (school["school"], school["quiz"]),
    )
    with pytest.raises(Conflict):
        await responder.submit(answer(school, session_id=row["id"]), ann(school))
