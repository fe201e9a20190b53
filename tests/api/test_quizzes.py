"""Quizzes: made, versioned, seen without the key by students, deleted without loss."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from core.postgres import Postgres
from tests.api.conftest import QUESTIONS, School, data, fault, make_school, register


async def test_a_quiz_comes_back_with_the_ids_of_its_questions(school: School) -> None:
    quiz = data(await school.teacher.get(f"/api/v1/quizzes/{school.quiz['id']}"))
    assert quiz == school.quiz
    assert [question["position"] for question in quiz["questions"]] == [1, 2, 3]
    assert [question["qtype"] for question in quiz["questions"]] == ["single_choice", "true_false", "free_text"]
    assert [question["answer_key"] for question in quiz["questions"]] == ["B", "false", "1/4"]
    assert quiz["questions"][0]["options"][1] == {"key": "B", "text": "3/4"}


async def test_a_student_never_gets_the_key(school: School) -> None:
    answer = await school.student.get(f"/api/v1/quizzes/{school.quiz['id']}")
    assert [question["answer_key"] for question in data(answer)["questions"]] == [None] * 3
    assert "1/4" not in [question["answer_key"] for question in data(answer)["questions"]]
    listed = data(await school.student.get("/api/v1/quizzes"))
    assert all("questions" not in item for item in listed["items"])


async def test_a_new_version_leaves_the_old_one_as_it_was(school: School, postgres: Postgres) -> None:
    first, second, third = school.quiz["questions"]
    body: dict[str, Any] = {
        "title": "Quiz A, better",
        "questions": [{"id": third["id"]}, {"id": first["id"], **QUESTIONS[0]}],
    }
    body["questions"].append({"id": second["id"], "title": "Is 1/3 more than 0.3?", "answer_key": True})
    quiz = data(await school.teacher.call("PUT", f"/api/v1/quizzes/{school.quiz['id']}", json=body))
    assert quiz["quiz_version"] == 2
    ids = [question["id"] for question in quiz["questions"]]
    assert ids[:2] == [third["id"], first["id"]]
    assert ids[2] not in {first["id"], second["id"], third["id"]}
    old = await postgres.fetch(
        "select question_id from quiz_questions where quiz_id = %(id)s and quiz_version = 1 order by position",
        {"id": quiz["id"]},
    )
    assert [row["question_id"] for row in old] == [first["id"], second["id"], third["id"]]


async def test_a_deleted_quiz_is_out_of_sight_and_still_in_the_record(school: School, postgres: Postgres) -> None:
    path = f"/api/v1/quizzes/{school.quiz['id']}"
    data(await school.teacher.call("DELETE", path))
    fault(await school.teacher.get(path), 404)
    fault(await school.teacher.call("DELETE", path), 404)
    assert await postgres.fetch("select 1 from quizzes where deleted_at is not null")


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({}, "title"),
        ({"title": "?", "options": ["a", "b"]}, "answer_key"),
        ({"title": "?", "options": ["a", "b"], "answer_key": "C"}, "answer_key"),
        ({"title": "?", "options": ["a", "a"], "answer_key": "a"}, "answer_key"),
        ({"title": "?", "options": [{"key": "A"}, {"key": "A"}], "answer_key": "A"}, "options"),
        ({"title": "?", "qtype": "single_choice", "answer_key": "A"}, "options"),
        ({"title": "?", "qtype": "true_false", "answer_key": "perhaps"}, "answer_key"),
        ({"title": "?", "qtype": "numeric", "answer_key": "many"}, "answer_key"),
        ({"title": "?", "qtype": "essay"}, "qtype"),
        ({"title": "?", "max_score": 0}, "max_score"),
        ({"title": "?", "id": 1}, "id"),
        ({"title": "?", "secret": 1}, "secret"),
    ],
)
async def test_a_bad_question_is_named_with_its_place(school: School, question: dict[str, Any], field: str) -> None:
    body = {"title": "T", "questions": [QUESTIONS[0], question]}
    answer = fault(await school.admin.post("/api/v1/quizzes", body), 422, "invalid_field")
    assert answer["error"]["details"]["errors"][0]["field"] == f"questions.1.{field}"


@pytest.mark.parametrize(
    ("question", "qtype", "key"),
    [
        ({"title": "?", "options": ["a", "b", "c"], "answer_key": ["C", "a"]}, "multiple_select", "A,C"),
        ({"title": "?", "options": ["a", "b"], "answer_key": "b"}, "single_choice", "B"),
        ({"text": "?", "answer_key": 2.5}, "numeric", "2.5"),
        ({"title": "?", "qtype": "numeric", "answer_key": "3.14±0.01"}, "numeric", "3.14±0.01"),
        ({"question_text": "?", "correct_answer": True}, "true_false", "true"),
        ({"title": "?"}, "free_text", None),
        ({"title": "?", "options": [str(n) for n in range(30)], "answer_key": "29"}, "single_choice", "AD"),
    ],
)
async def test_a_question_may_be_written_in_many_ways(
    school: School, question: dict[str, Any], qtype: str, key: str | None
) -> None:
    quiz = await school.admin.make("quizzes", title="T", questions=[question])
    made = quiz["questions"][0]
    assert (made["qtype"], made["answer_key"]) == (qtype, key)


async def test_lists_have_pages(school: School) -> None:
    for number in range(3):
        await school.teacher.make("quizzes", title=f"More {number}", questions=QUESTIONS)
    page = data(await school.teacher.get("/api/v1/quizzes?page=2&page_size=3"))
    assert (page["total"], page["page"], [item["title"] for item in page["items"]]) == (4, 2, ["Quiz A"])


async def test_a_quiz_without_a_classroom_is_seen_by_whom_its_maker_teaches(school: School) -> None:
    own = await school.teacher.make("quizzes", title="For all of mine", questions=QUESTIONS)
    everybody = await school.admin.make("quizzes", title="For the school", questions=QUESTIONS)
    for person, seen in (
        (school.student, {own["id"], everybody["id"], school.quiz["id"]}),
        (school.other_student, {everybody["id"], school.other_quiz["id"]}),
        (school.other_teacher, {everybody["id"], school.other_quiz["id"]}),
        (school.admin, {own["id"], everybody["id"], school.quiz["id"], school.other_quiz["id"]}),
    ):
        assert {item["id"] for item in data(await person.get("/api/v1/quizzes"))["items"]} == seen


async def test_a_quiz_of_a_stranger_reaches_no_student(school: School) -> None:
    stranger = await register(school.admin.client, "teacher", school_id=school.admin.school_id)
    await stranger.make("quizzes", title="Bad", questions=QUESTIONS)
    titles = {item["title"] for item in data(await school.student.get("/api/v1/quizzes"))["items"]}
    assert "Bad" not in titles


async def test_a_quiz_cannot_be_made_in_a_classroom_of_others(school: School, client: httpx2.AsyncClient) -> None:
    other = await make_school(client, "Valley")
    for room in (school.other_classroom, other.classroom):
        body = {"title": "T", "classroom_id": room["id"], "questions": QUESTIONS}
        fault(await school.teacher.post("/api/v1/quizzes", body), 404)
