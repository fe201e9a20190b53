"""Answers: graded by the server, one per attempt, committed when acknowledged."""

from __future__ import annotations

from typing import Any

import pytest

from core.postgres import Postgres
from tests.api.conftest import QUESTIONS, Person, School, data, fault, register


def _answer(school: School, **fields: Any) -> dict[str, Any]:
    first = school.quiz["questions"][0]
    return {"student_id": school.student.id, "question_id": first["id"], "answer": "B", "time_spent": 38.5} | fields


async def test_the_server_grades_whatever_the_client_says(school: School) -> None:
    for question, answer, correct in zip(
        school.quiz["questions"], ["A", False, "1/4"], [False, True, True], strict=True
    ):
        body = _answer(school, question_id=question["id"], answer=answer, correct=not correct)
        kept = data(await school.student.post("/api/v1/responses", body), 201)
        assert (kept["correct"], kept["score"], kept["attempt_number"]) == (correct, float(correct), 1)


async def test_seconds_outside_milliseconds_inside(school: School, postgres: Postgres) -> None:
    data(await school.student.post("/api/v1/responses", _answer(school, time_spent=38.512)), 201)
    assert await postgres.fetch("select time_spent_ms from responses") == [{"time_spent_ms": 38512}]
    listed = data(await school.student.get("/api/v1/responses"))
    assert [item["time_spent"] for item in listed["items"]] == [38.512]


@pytest.mark.parametrize("way", ["client_id", "Idempotency-Key"])
async def test_a_retry_gets_the_first_answer_again(school: School, way: str) -> None:
    body = _answer(school) | ({"client_id": "k1"} if way == "client_id" else {})
    headers = {} if way == "client_id" else {"Idempotency-Key": "k1"}
    first = data(await school.student.post("/api/v1/responses", body, headers=headers), 201)
    again = data(await school.student.post("/api/v1/responses", body, headers=headers), 200)
    assert (again["status"], again["id"]) == ("duplicate", first["id"])
    other = await school.student.post("/api/v1/responses", body | {"answer": "A"}, headers=headers)
    fault(other, 409, "answer_conflict")


async def test_without_a_key_a_second_answer_is_the_next_attempt(school: School) -> None:
    for attempt in (1, 2):
        assert data(await school.student.post("/api/v1/responses", _answer(school)), 201)["attempt_number"] == attempt
    fault(await school.student.post("/api/v1/responses", _answer(school, attempt_number=1, answer="A")), 409)


async def test_bulk_has_an_outcome_for_each(school: School, postgres: Postgres) -> None:
    good = [_answer(school, question_id=question["id"], answer="x") for question in school.quiz["questions"]]
    good[0]["answer"], good[1]["answer"] = "B", "true"
    bad = [_answer(school, student_id=school.other_student.id), _answer(school, question_id=10**6), {"answer": "B"}, 5]
    body = {"responses": [bad[0], good[0], bad[1], good[1], bad[2], bad[3], good[2]]}
    answer = data(await school.student.post("/api/v1/responses", body), 201)
    statuses = [item["status"] for item in answer["items"]]
    assert statuses == ["rejected", "accepted", "rejected", "accepted", "rejected", "rejected", "accepted"]
    assert (answer["accepted"], answer["rejected"]) == (3, 4)
    assert [item.get("field") for item in answer["items"]][4] == "question_id"
    assert len(await postgres.fetch("select 1 from responses")) == 3


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"answer": "D"}, 422, "choice"),
        ({"time_spent": -1}, 422, "time_spent"),
        ({"time_spent": "long"}, 422, "time_spent"),
        ({"attempt_number": 0}, 422, "attempt_number"),
        ({"question_id": None}, 422, "question_id"),
        ({"question_id": 2**63}, 422, "question_id"),
        ({"question_id": True}, 422, "question_id"),
        ({"submitted_at": "2001-01-01T00:00:00Z"}, 422, "submitted_at"),
        ({"submitted_at": "2026-01-01T00:00:00"}, 422, "submitted_at"),
        ({"points": 7}, 422, "points"),
        ({"quiz_id": 10**9}, 404, None),
        ({"session_id": 10**9}, 404, None),
        ({"classroom_id": 10**9}, 404, None),
        ({"question_id": 10**9}, 404, None),
        ({"answer": {"a": 1}}, 422, None),
    ],
)
async def test_a_bad_answer_is_refused_with_its_field_and_nothing_is_written(
    school: School, postgres: Postgres, fields: dict[str, Any], status: int, field: str | None
) -> None:
    answer = fault(await school.student.post("/api/v1/responses", _answer(school, **fields)), status)
    if field:
        assert answer["error"]["details"]["errors"][0]["field"].startswith(field)
    assert await postgres.fetch("select 1 from responses") == []


async def test_who_may_answer_for_whom(school: School) -> None:
    other = school.other_quiz["questions"][0]["id"]
    cases: list[tuple[Person, dict[str, Any], int]] = [
        (school.student, {}, 201),
        (school.student, {"student_id": school.other_student.id}, 404),
        (school.student, {"question_id": other}, 404),
        (school.student, {"question_id": other, "quiz_id": school.other_quiz["id"]}, 404),
        (school.student, {"classroom_id": school.other_classroom["id"]}, 404),
        (school.teacher, {}, 201),
        (school.other_teacher, {}, 404),
        (school.admin, {}, 201),
    ]
    for person, fields, status in cases:
        answer = await person.post("/api/v1/responses", _answer(school, **fields))
        assert answer.status_code in ({404, 403} if status == 404 else {status}), (person.email, fields, answer.text)


async def test_a_stranger_cannot_answer_a_class_he_is_not_in(school: School) -> None:
    stranger = await register(school.admin.client, "student", school_id=school.admin.school_id)
    fault(await stranger.post("/api/v1/responses", _answer(school, student_id=stranger.id)), 404)


async def test_everybody_lists_what_he_may_see(school: School) -> None:
    data(await school.student.post("/api/v1/responses", _answer(school)), 201)
    other = {"question_id": school.other_quiz["questions"][0]["id"], "answer": "A"}
    data(await school.other_student.post("/api/v1/responses", other), 201)
    for person, seen in (
        (school.student, [school.student.id]),
        (school.teacher, [school.student.id]),
        (school.other_teacher, [school.other_student.id]),
        (school.admin, [school.other_student.id, school.student.id]),
    ):
        items = data(await person.get("/api/v1/responses"))["items"]
        assert [item["student_id"] for item in items] == seen


async def test_a_live_quiz_is_answered_over_its_socket_only_and_keeps_its_key(school: School) -> None:
    place = {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"]}
    room = data(await school.teacher.post("/api/v1/live/sessions", place), 201)
    body = _answer(school, session_id=room["session_id"])
    fault(await school.student.post("/api/v1/responses", body), 409, "live_session")
    kept = data(await school.student.post("/api/v1/responses", _answer(school)), 201)
    assert "correct" not in kept
    assert data(await school.student.get("/api/v1/responses"))["items"][0]["correct"] is None
    assert data(await school.teacher.get("/api/v1/responses"))["items"][0]["correct"] is True


async def test_a_question_of_two_quizzes_needs_the_quiz(school: School) -> None:
    quiz = await school.teacher.make("quizzes", title="T", classroom_id=school.classroom["id"], questions=QUESTIONS)
    body = {"question_id": quiz["questions"][0]["id"], "answer": "B", "quiz_id": quiz["id"]}
    assert data(await school.student.post("/api/v1/responses", body), 201)["quiz_id"] == quiz["id"]
