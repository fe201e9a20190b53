"""The whole path: register, log in, make a quiz, answer it, see the answers in the reports within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from tests.api.conftest import QUESTIONS, School, application, client, data, register, school, stores

__all__ = ["application", "client", "school", "stores"]
_PROMISED_SECONDS = 1.0


async def _within_a_second(look: Callable[[], Awaitable[Any]], wanted: Any) -> Any:
    began = time.monotonic()
    while (found := await look()) != wanted:
        assert time.monotonic() - began < 10, f"{found} instead of {wanted}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_an_answer_is_in_the_report_within_a_second(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="Hilltop", time_zone="Europe/Berlin")
    teacher = await register(client, "teacher", school_id=admin.school_id)
    student = await register(client, "student", school_id=admin.school_id)
    room = await admin.make("classrooms", name="7a", subject="maths", teacher_id=teacher.id)
    await admin.make("enrolments", classroom_id=room["id"], user_id=student.id)
    quiz = await teacher.make("quizzes", title="Fractions", classroom_id=room["id"], questions=QUESTIONS)

    async def summary() -> tuple[int, float] | None:
        answer = await teacher.get(f"/api/v1/student-performance?student_id={student.id}&section=summary")
        if answer.status_code == 404:  # the student himself has not arrived yet
            return None
        row = data(answer)["sections"]["summary"]["row"]
        return (row["responses.count"], row["responses.accuracy"]) if row else None

    for number, (question, choice) in enumerate(zip(quiz["questions"], ["B", True, "1/4"], strict=True), 1):
        body = {"student_id": student.id, "question_id": question["id"], "answer": choice, "time_spent": 10 * number}
        data(await student.post("/api/v1/responses", body), 201)
        right = [1, 1, 2][number - 1]
        seconds = await _within_a_second(summary, (number, right / number))
        assert seconds < _PROMISED_SECONDS, f"it took {seconds:.2f} s"


async def test_all_three_reports_tell_the_same_truth(school: School) -> None:
    for question, choice in zip(school.quiz["questions"], ["B", True, "2/8"], strict=True):
        body = {"question_id": question["id"], "answer": choice, "time_spent": 20}
        data(await school.student.post("/api/v1/responses", body), 201)

    async def counted() -> int:
        answer = await school.admin.post("/cubejs-api/v1/load", {"query": {"measures": ["responses.count"]}})
        return int(answer.json()["data"][0]["responses.count"])

    await _within_a_second(counted, 3)
    performance = data(await school.teacher.get(f"/api/v1/student-performance?student_id={school.student.id}"))
    assert performance["subject"]["students.id"] == school.student.id
    assert performance["sections"]["summary"]["row"]["responses.average_time_seconds"] == 20
    engagement = data(await school.teacher.get(f"/api/v1/classroom-engagement?classroom_id={school.classroom['id']}"))
    assert engagement["sections"]["enrolment"]["row"]["enrolments.current_students"] == 1
    assert engagement["sections"]["answers"]["row"]["responses.count"] == 3
    content = data(await school.teacher.get(f"/api/v1/content-effectiveness?quiz_id={school.quiz['id']}"))
    assert content["sections"]["summary"]["row"]["responses.participants"] == 1
    assert len(content["sections"]["questions"]["rows"]) == 3
