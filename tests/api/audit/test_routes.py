"""Every route that touches a person leaves a line; who may read the lines; what was refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.audit.impersonal import IMPERSONAL
from api.audit.trail import declarations
from core.postgres import Postgres
from core.settings import Settings
from tests.api.audit.people import Small, lines, make_small
from tests.api.conftest import PASSWORD, data, fault


def _name(method: str, path: str) -> str:
    return f"{method} {path.removeprefix('/api/v1') if '/auth/' in path else path}"


def test_every_route_says_whether_it_touches_a_person() -> None:
    """A new route declares `audited(…)`, or stands in `IMPERSONAL` with its reason; nothing stale stands there."""
    found = {_name(*place): action for place, action in declarations(create_app(Settings())).items()}
    silent = sorted(name for name, action in found.items() if action is None and name not in IMPERSONAL)
    assert silent == []
    assert sorted(name for name in IMPERSONAL if found.get(name, "") is not None) == []


async def test_what_each_route_leaves(small: Small, client: httpx2.AsyncClient) -> None:
    """(who, method, path, body) → the action and the people of its line."""
    ids, ann = small.ids, small.ann.id
    table: list[tuple[Any, str, str, Any, str, list[int]]] = [
        (small.admin, "GET", f"users/{ann}", None, "user.read", [ann]),
        (small.ann, "GET", "users/me", None, "user.read", [ann]),
        (small.teacher, "GET", "users?role=student", None, "user.listed", [ann, small.ben.id]),
        (small.admin, "PATCH", f"users/{ann}", {"name": "New", "consent": True}, "user.changed", [ann]),
        (small.admin, "PATCH", f"users/{ann}", {"role": "teacher"}, "role.changed", [ann]),
        (small.admin, "PATCH", f"users/{ann}", {"role": "student"}, "role.changed", [ann]),
        (small.admin, "GET", f"enrolments?user_id={ann}", None, "enrolment.listed", [ann]),
        (small.teacher, "GET", "responses", None, "responses.read", []),
        (small.admin, "PATCH", f"classrooms/{ids['classroom']}", {"name": "8b"}, "classroom.changed", []),
        (small.admin, "PATCH", f"schools/{ids['school']}", {"retention_months": 24}, "school.changed", []),
        (small.admin, "GET", "audit", None, "audit.read", []),
        (small.admin, "POST", f"users/{ann}/export", None, "user.exported", [ann]),
    ]
    for caller, method, path, body, action, subjects in table:
        answer = await caller.call(method, f"/api/v1/{path}", json=body, headers={"X-Request-ID": "r-1"})
        assert answer.status_code in {200, 201}, answer.text
        newest = next(line for line in await lines(small.operator) if line["action"] != "audit.read" or path == "audit")
        assert (newest["action"], newest["subjects"], newest["actor_id"]) == (action, sorted(subjects), caller.id), path
        assert (newest["school_id"], newest["request_id"]) == (ids["school"], "r-1")


async def test_what_is_made_and_ended_leaves_lines(small: Small) -> None:
    user = await small.admin.make("users", name="Cem", role="student")
    enrolled = await small.admin.make("enrolments", classroom_id=small.ids["classroom"], user_id=user["id"])
    data(await small.admin.call("PATCH", f"/api/v1/enrolments/{enrolled['id']}", json={}))
    found = await lines(small.admin, subject_id=user["id"])
    assert [line["action"] for line in found] == ["enrolment.ended", "enrolment.begun", "user.created"]
    assert "Cem" not in str(found)


async def test_a_refused_change_leaves_no_line_of_a_change(small: Small) -> None:
    body = {"classroom_id": small.ids["classroom"], "user_id": small.ann.id}
    fault(await small.admin.post("/api/v1/enrolments", body), 409)
    assert await lines(small.operator, action="enrolment") == []


async def test_log_ins_and_refused_ones(client: httpx2.AsyncClient, small: Small, postgres: Postgres) -> None:
    place = {"role": "student", "school_id": small.ids["school"]}
    body = {"name": "Dora", "email": "dora@example.org", "password": PASSWORD, **place}
    user = data(await client.post("/auth/register", json=body), 201)
    tokens = data(await client.post("/auth/login", json={"email": body["email"], "password": PASSWORD}))
    fault(await client.post("/auth/login", json={"email": body["email"], "password": "wrong"}), 401)
    fault(await client.post("/auth/login", json={"email": "nobody@example.org", "password": "wrong"}), 401)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    data(await client.post("/auth/logout", headers=headers))
    found = [(line["action"], line["outcome"], line["subjects"]) for line in await lines(small.operator)]
    assert found[:5] == [
        ("login.ended", "done", []),
        ("login.password", "refused", []),
        ("login.password", "refused", [user["id"]]),
        ("login.password", "done", [user["id"]]),
        ("account.registered", "done", [user["id"]]),
    ]
    text = str(await postgres.fetch("select * from audit_log"))
    assert "dora" not in text.lower()


async def test_refusals_leave_lines(small: Small, client: httpx2.AsyncClient, postgres: Postgres) -> None:
    other = await make_small(client, postgres, "Valley")
    fault(await small.ann.get("/api/v1/status"), 403)
    fault(await small.teacher.get(f"/api/v1/users/{other.ann.id}"), 404)
    query = {"query": {"dimensions": ["teachers.name"]}}
    assert (await small.ann.post("/cubejs-api/v1/load", query)).status_code == 403
    found = await lines(small.admin, outcome="refused")
    assert [(line["action"], line["actor_id"], line["details"]["status"]) for line in found] == [
        ("query.answered", small.ann.id, 403),
        ("user.read", small.teacher.id, 404),
        ("GET /api/v1/status", small.ann.id, 403),
    ]
    assert found[1]["target"] == f"user_id={other.ann.id}"


async def test_an_admin_reads_the_lines_of_his_school_only(
    small: Small, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    other = await make_small(client, postgres, "Valley")
    data(await small.teacher.get(f"/api/v1/users/{small.ann.id}"))
    data(await other.teacher.get(f"/api/v1/users/{other.ann.id}"))
    data(await small.operator.get(f"/api/v1/users/{other.ann.id}"))
    assert {line["actor_id"] for line in await lines(small.admin, action="user")} == {small.teacher.id}
    assert [line["actor_id"] for line in await lines(other.admin, action="user.read")] == [
        small.operator.id,
        other.teacher.id,
    ]
    assert len(await lines(small.operator, action="user.read")) == 3
    assert await lines(small.admin, actor_id=other.teacher.id) == []
    for nobody in (small.teacher, small.ann):
        fault(await nobody.get("/api/v1/audit"), 403)
        fault(await nobody.get("/api/v1/audit/verification"), 403)
    fault(await small.admin.get("/api/v1/audit/verification"), 403)
    assert data(await small.operator.get("/api/v1/audit/verification"))["whole"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"actor_id": "x"},
        {"subject_id": 0},
        {"action": "';drop"},
        {"outcome": "maybe"},
        {"from": "yesterday"},
        {"page": 0},
    ],
)
async def test_bad_filters_are_named(small: Small, wanted: dict[str, Any]) -> None:
    answer = fault(await small.admin.get("/api/v1/audit", params=wanted), 422)
    assert answer["error"]["details"]["errors"][0]["field"] == next(iter(wanted))


async def test_what_cannot_be_noted_is_not_shown(small: Small, application: FastAPI) -> None:
    log = application.state.services.audit
    log._most, log._patience = 0, 0.05
    fault(await small.admin.get(f"/api/v1/users/{small.ann.id}"), 503)
    query = {"query": {"dimensions": ["students.name"]}}
    assert (await small.admin.post("/cubejs-api/v1/load", query)).status_code == 503
    fault(await small.ann.get("/api/v1/status"), 503)


async def test_questions_leave_lines_when_their_answers_hold_people(small: Small, application: FastAPI) -> None:
    await application.state.services.ingestion.loader.drain(60)

    async def ask(query: dict[str, Any]) -> None:
        answer = await small.teacher.post("/cubejs-api/v1/load", {"query": query})
        assert answer.status_code == 200, answer.text

    await ask({"measures": ["students.count"]})
    await ask({"measures": ["responses.count"], "dimensions": ["classrooms.name"]})
    assert await lines(small.admin, action="query") == []
    await ask({"dimensions": ["students.id", "students.name"], "measures": ["enrolments.count"]})
    await ask({"dimensions": ["students.name"]})
    ann = [str(small.ann.id)]
    await ask(
        {
            "measures": ["responses.count"],
            "filters": [{"or": [{"member": "responses.student_id", "operator": "equals", "values": ann}]}],
        }
    )
    sql = "SELECT s.id, s.name, COUNT(e.count) FROM students s, enrolments e GROUP BY 1, 2"
    answer = await small.teacher.post("/cubejs-api/v1/cubesql", {"query": sql})
    assert "data" in answer.text, answer.text
    found = await lines(small.admin, action="query.answered")
    both = sorted([small.ann.id, small.ben.id])
    assert [(line["details"]["members"], line["subjects"], line["details"]["rows"]) for line in found] == [
        (["students.id", "students.name"], both, 2),
        (["responses.student_id"], [small.ann.id], 1),
        (["students.name"], [], 2),
        (["students.id", "students.name"], both, 2),
    ]


async def test_a_report_about_a_pupil_leaves_a_line(small: Small, application: FastAPI) -> None:
    await application.state.services.ingestion.loader.drain(60)
    data(await small.teacher.get(f"/api/v1/student-performance?student_id={small.ann.id}"))
    newest = (await lines(small.admin, subject_id=small.ann.id))[0]
    assert (newest["action"], newest["actor_id"]) == ("report.read", small.teacher.id)
    assert newest["details"]["report"] == "student_performance"


async def test_the_log_is_a_cube(small: Small, application: FastAPI, client: httpx2.AsyncClient) -> None:
    data(await small.teacher.get(f"/api/v1/users/{small.ann.id}"))
    data(await small.teacher.get("/api/v1/users"))
    await application.state.services.audit.flush()
    await application.state.services.ingestion.loader.drain(60)
    query = {
        "measures": ["audit_subjects.count"],
        "dimensions": ["audit_subjects.user_id"],
        "filters": [{"member": "audit_subjects.actor_id", "operator": "equals", "values": [str(small.teacher.id)]}],
        "order": {"audit_subjects.user_id": "asc"},
    }
    answer = (await small.admin.post("/cubejs-api/v1/load", {"query": query})).json()
    told = {row["audit_subjects.user_id"]: row["audit_subjects.count"] for row in answer["data"]}
    assert told == {str(small.ann.id): "2", str(small.ben.id): "1", str(small.teacher.id): "1"}
    by_action = {"measures": ["audit_subjects.count"], "dimensions": ["audit.action"], "order": {"audit.action": "asc"}}
    answer = (await small.admin.post("/cubejs-api/v1/load", {"query": by_action})).json()
    assert {"user.read", "user.listed"} <= {row["audit.action"] for row in answer["data"]}
    for nobody in (small.teacher, small.ann):
        refused = await nobody.post("/cubejs-api/v1/load", {"query": {"measures": ["audit.count"]}})
        assert refused.status_code == 403
    everything = {"query": {"dimensions": ["audit.chain", "audit.hash"], "order": {"audit.chain": "asc"}}}
    rows = (await small.operator.post("/cubejs-api/v1/load", everything)).json()["data"]
    kept = await application.state.services.postgres.fetch(
        "select chain::text as chain, encode(hash, 'hex') as hash from audit_log order by chain limit %s", [len(rows)]
    )
    assert rows == [{"audit.chain": row["chain"], "audit.hash": row["hash"]} for row in kept]
    await asyncio.sleep(0)
