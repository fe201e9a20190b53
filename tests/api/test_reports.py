"""Reports: numbers through the engine, each caller with his own rights; what is not his is not there."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import Person, School, data, fault, make_school, member


@pytest.fixture
async def answered(school: School) -> AsyncIterator[School]:
    """A school whose two students have answered, all of it queryable."""
    for person, quiz in ((school.student, school.quiz), (school.other_student, school.other_quiz)):
        for question, choice in zip(quiz["questions"], ["B", True, "=1+1"], strict=True):
            body = {"question_id": question["id"], "answer": choice, "time_spent": 20}
            data(await person.post("/api/v1/responses", body), 201)
    await _loader(school.admin).drain(30)
    yield school


def _loader(person: Person):  # type: ignore[no-untyped-def]
    return person.client._transport.app.state.services.ingestion.loader  # type: ignore[attr-defined]


async def test_who_may_run_which_report_about_whom(answered: School) -> None:
    school = answered
    stranger = await make_school(school.admin.client, "Valley")
    alone = await member(school.admin, "teacher")
    paths = {
        "own student": f"student-performance?student_id={school.student.id}",
        "other student": f"student-performance?student_id={school.other_student.id}",
        "nobody": "student-performance?student_id=999999",
        "own class": f"classroom-engagement?classroom_id={school.classroom['id']}",
        "other class": f"classroom-engagement?classroom_id={school.other_classroom['id']}",
        "own quiz": f"content-effectiveness?quiz_id={school.quiz['id']}",
        "other quiz": f"content-effectiveness?quiz_id={school.other_quiz['id']}",
        "other quiz by name": f"reports/content_effectiveness?quiz_id={school.other_quiz['id']}",
    }
    table: list[tuple[Person, dict[str, int]]] = [
        (school.admin, dict.fromkeys(paths, 200) | {"nobody": 404}),
        (school.teacher, dict.fromkeys(paths, 404) | dict.fromkeys(["own student", "own class", "own quiz"], 200)),
        (
            school.student,
            {
                "own student": 200,
                "other student": 404,
                "nobody": 404,
                "own class": 403,
                "other class": 403,
                "own quiz": 403,
                "other quiz": 403,
                "other quiz by name": 403,
            },
        ),
        (stranger.admin, dict.fromkeys(paths, 404)),
        (stranger.teacher, dict.fromkeys(paths, 404)),
        (alone, dict.fromkeys(paths, 404)),
    ]
    await _loader(school.admin).drain(30)
    for person, wanted in table:
        found = {name: (await person.get(f"/api/v1/{path}")).status_code for name, path in paths.items()}
        assert found == wanted, person
    for path in paths.values():
        fault(await school.admin.client.get(f"/api/v1/{path}"), 401)


async def test_not_yours_and_not_there_look_the_same(answered: School) -> None:
    for path in ("student-performance?student_id=", "reports/student_performance?student_id="):
        hidden = await answered.teacher.get(f"/api/v1/{path}{answered.other_student.id}")
        absent = await answered.teacher.get(f"/api/v1/{path}999999")
        assert fault(hidden, 404) == fault(absent, 404)


async def test_a_student_need_not_name_himself(answered: School) -> None:
    answer = data(await answered.student.get("/api/v1/student-performance"))
    assert answer["subject"]["students.id"] == answered.student.id
    assert answer["sections"]["summary"]["row"]["responses.count"] == 3


async def test_sections_have_pages(answered: School) -> None:
    path = f"/api/v1/content-effectiveness?quiz_id={answered.quiz['id']}&section=questions&page_size=2"
    first = data(await answered.teacher.get(f"{path}&page=1"))["sections"]["questions"]
    second = data(await answered.teacher.get(f"{path}&page=2"))["sections"]["questions"]
    assert (first["total"], len(first["rows"]), len(second["rows"])) == (3, 2, 1)
    assert first["rows"][0] not in second["rows"]


async def test_dates_narrow_a_report(answered: School) -> None:
    path = f"/api/v1/student-performance?student_id={answered.student.id}&section=summary"
    row = data(await answered.teacher.get(f"{path}&from=2001-01-01&to=2001-12-31"))["sections"]["summary"]["row"]
    assert row["responses.count"] == 0
    row = data(await answered.teacher.get(f"{path}&from=2001-01-01"))["sections"]["summary"]["row"]
    assert row["responses.count"] == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "student_id"),
        ("?student_id=x", "student_id"),
        ("?student_id=1&from=yesterday", "from"),
        ("?student_id=1&studnt=2", "studnt"),
        ("?student_id=1&page=0", "page"),
        ("?student_id=1&format=xml", "format"),
        ("?student_id=1&time_zone=Mars", "time_zone"),
    ],
)
async def test_a_bad_parameter_is_named(school: School, query: str, field: str) -> None:
    for path in ("student-performance", "reports/student_performance"):
        answer = fault(await school.admin.get(f"/api/v1/{path}{query}"), 422, "invalid_field")
        assert answer["error"]["details"]["errors"][0]["field"] == field


async def test_an_unknown_report_names_the_nearest(school: School) -> None:
    answer = fault(await school.admin.get("/api/v1/reports/student_preformance"), 404)
    assert "student_performance" in answer["error"]["details"]["nearest"]


async def test_the_list_tells_only_what_one_may_run(school: School) -> None:
    names = {item["name"] for item in data(await school.student.get("/api/v1/reports"))["items"]}
    assert names == {"student_performance"}
    items = data(await school.teacher.get("/api/v1/reports"))["items"]
    assert {item["path"] for item in items} >= {"/api/v1/classroom-engagement", "/api/v1/content-effectiveness"}
    assert all(parameter["description"] for item in items for parameter in item["parameters"])


async def test_csv_is_safe_to_open(answered: School) -> None:
    path = f"/api/v1/content-effectiveness?quiz_id={answered.quiz['id']}&format=csv&section=wrong_answers"
    answer = await answered.teacher.get(path)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) > 1
    assert all(not cell.startswith(("=", "+", "@")) for row in rows for cell in row)
