"""What is changed through the API is in the cubes within a second."""

from __future__ import annotations

import asyncio
import time

from tests.api.audit.people import Small
from tests.api.conftest import data


async def known(small: Small) -> set[str]:
    """Names of classrooms, teachers and pupils, as questions are answered."""
    query = {"dimensions": ["classrooms.name"]}
    body = (await small.admin.post("/cubejs-api/v1/load", {"query": query})).json()
    return {row["classrooms.name"] for row in body.get("data", [])}


async def test_each_change_of_a_class_is_seen_within_a_second(small: Small) -> None:
    path = f"/api/v1/classrooms/{small.ids['classroom']}"
    worst = 0.0
    for number in range(5):
        data(await small.admin.call("PATCH", path, json={"name": f"class {number}"}))
        began = time.monotonic()
        while f"class {number}" not in await known(small):
            await asyncio.sleep(0.01)
            assert time.monotonic() - began < 5
        worst = max(worst, time.monotonic() - began)
    assert worst < 1


async def test_a_pupil_who_moved_leaves_his_results_where_he_earned_them(small: Small) -> None:
    """Answered in 7b, moved to 8a, answered there: one answer in each class."""
    other = await small.admin.make("classrooms", name="8a")
    asked = [{"title": "1/2 + 1/4 = ?", "options": ["1/6", "3/4", "2/6"], "answer_key": "B"}]
    quiz = await small.admin.make("quizzes", title="for all classes", questions=asked)
    body = {"question_id": quiz["questions"][0]["id"], "quiz_id": quiz["id"], "answer": "B"}
    data(await small.ann.post("/api/v1/responses", body), 201)
    stays = data(await small.admin.get("/api/v1/enrolments", params={"user_id": small.ann.id}))["items"]
    data(await small.admin.call("PATCH", f"/api/v1/enrolments/{stays[0]['id']}", json={}))
    await small.admin.make("enrolments", classroom_id=other["id"], user_id=small.ann.id)
    data(await small.ann.post("/api/v1/responses", body | {"classroom_id": other["id"], "answer": "A"}), 201)
    query = {"dimensions": ["classrooms.name"], "measures": ["responses.count", "responses.correct_count"],
             "filters": [{"member": "responses.student_id", "operator": "equals", "values": [str(small.ann.id)]}],
             "order": {"classrooms.name": "asc"}}  # fmt: skip
    async with asyncio.timeout(10):
        while True:
            answer = await small.admin.post("/cubejs-api/v1/load", {"query": query})
            rows = [list(row.values()) for row in answer.json().get("data", [])]
            if sum(int(row[1]) for row in rows) == 2:
                break
            await asyncio.sleep(0.05)
    assert [[name, int(count), int(right or 0)] for name, count, right in rows] == [["7b", 1, 1], ["8a", 1, 0]]
