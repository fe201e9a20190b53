"""Schools, classrooms, people: who may see and change what, as one table."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.conftest import Person, School, data, fault, make_school, member


async def test_who_may_do_what(school: School, client: httpx2.AsyncClient) -> None:
    """One row for each request: the status for admin, teacher, other teacher, student, another school's admin."""
    stranger = await make_school(client, "Valley")
    callers = [school.admin, school.teacher, school.other_teacher, school.student, stranger.admin]
    room, pupil, own = school.classroom["id"], school.student.id, school.admin.school_id
    enrolment = data(await school.admin.get(f"/api/v1/enrolments?user_id={pupil}"))["items"][0]["id"]
    rename = {"name": "Another name"}
    table: list[tuple[str, str, Any, list[int]]] = [
        ("GET", f"schools/{own}", None, [200, 200, 200, 200, 404]),
        ("PATCH", f"schools/{own}", rename, [200, 403, 403, 403, 404]),
        ("POST", "schools", rename, [403, 403, 403, 403, 403]),
        ("GET", f"classrooms/{room}", None, [200, 200, 404, 200, 404]),
        ("PATCH", f"classrooms/{room}", rename, [200, 403, 403, 403, 404]),
        ("POST", "classrooms", {"name": "New", "school_id": own}, [201, 403, 403, 403, 404]),
        ("GET", f"users/{pupil}", None, [200, 200, 404, 200, 404]),
        ("PATCH", f"users/{pupil}", rename, [200, 403, 404, 200, 404]),
        ("PATCH", f"users/{pupil}", {"role": "student"}, [200, 403, 404, 403, 404]),
        ("POST", "users", {"name": "N", "role": "student", "school_id": own}, [201, 403, 403, 403, 404]),
        ("POST", "users", {"name": "N", "role": "operator"}, [403, 403, 403, 403, 403]),
        ("GET", f"enrolments/{enrolment}", None, [200, 200, 404, 200, 404]),
        ("POST", "enrolments", {"classroom_id": room, "user_id": pupil}, [409, 403, 403, 403, 404]),
        ("GET", f"quizzes/{school.quiz['id']}", None, [200, 200, 404, 200, 404]),
        (
            "PUT",
            f"quizzes/{school.quiz['id']}",
            {"title": "T", "questions": [{"title": "?"}]},
            [200, 200, 404, 403, 404],
        ),
        ("GET", "status", None, [403, 403, 403, 403, 403]),
        ("PATCH", f"enrolments/{enrolment}", {}, [200, 403, 403, 403, 404]),
        ("DELETE", f"quizzes/{school.quiz['id']}", None, [200, 404, 404, 403, 404]),
    ]
    for method, path, body, wanted in table:
        found = [(await person.call(method, f"/api/v1/{path}", json=body)).status_code for person in callers]
        assert found == wanted, (method, path)
        fault(await client.request(method, f"/api/v1/{path}", json=body), 401)


async def test_lists_hold_only_what_one_may_see(school: School, client: httpx2.AsyncClient) -> None:
    await make_school(client, "Valley")

    async def listed(person: Person, path: str) -> set[int]:
        return {item["id"] for item in data(await person.get(f"/api/v1/{path}"))["items"]}

    assert await listed(school.admin, "schools") == {school.admin.school_id}
    both = {school.classroom["id"], school.other_classroom["id"]}
    assert await listed(school.admin, "classrooms") == both
    assert await listed(school.teacher, "classrooms") == {school.classroom["id"]}
    assert await listed(school.student, "classrooms") == {school.classroom["id"]}
    assert await listed(school.teacher, "users") == {school.teacher.id, school.student.id}
    assert await listed(school.student, "users") == {school.student.id}
    assert await listed(school.admin, "users?role=student") == {school.student.id, school.other_student.id}
    assert await listed(school.admin, f"users?classroom_id={school.classroom['id']}") == {school.student.id}
    assert len(await listed(school.student, "enrolments")) == 1


async def test_who_leaves_a_class_is_out_of_its_teachers_sight(school: School) -> None:
    enrolment = data(await school.admin.get(f"/api/v1/enrolments?user_id={school.student.id}"))["items"][0]
    data(await school.admin.call("PATCH", f"/api/v1/enrolments/{enrolment['id']}", json={}))
    fault(await school.teacher.get(f"/api/v1/users/{school.student.id}"), 404)
    assert data(await school.student.get("/api/v1/classrooms"))["items"] == []
    ended = data(await school.admin.get("/api/v1/enrolments?open=false"))["items"]
    assert [item["id"] for item in ended] == [enrolment["id"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("classrooms", {"name": ""}, 422, "name"),
        ("classrooms", {"name": "A", "teacher_id": 999}, 422, "teacher_id"),
        ("classrooms", {"name": "A", "colour": "red"}, 422, "colour"),
        ("users", {"name": "A", "role": "boss"}, 422, "role"),
        ("users", {"name": "x" * 201, "role": "student"}, 422, "name"),
        ("enrolments", {"classroom_id": 999, "user_id": 1}, 404, None),
        ("enrolments", {"classroom_id": "x", "user_id": 1}, 422, "classroom_id"),
    ],
)
async def test_bad_input_is_named(
    school: School, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = fault(await school.admin.post(f"/api/v1/{path}", body), status)
    if field:
        assert answer["error"]["details"]["errors"][0]["field"] == field


async def test_a_student_is_no_teacher_of_a_class(school: School) -> None:
    for body in ({"name": "A", "teacher_id": school.student.id}, {"name": "A", "teacher_id": school.admin.id}):
        fault(await school.admin.post("/api/v1/classrooms", body), 422)
    student = await member(school.admin, "student")
    body = {"classroom_id": school.classroom["id"], "user_id": student.id, "role": "teacher"}
    fault(await school.admin.post("/api/v1/enrolments", body), 422)
