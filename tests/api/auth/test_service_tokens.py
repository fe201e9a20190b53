"""Tokens for scripts: the rights of their maker, fewer doors, until a day or until he is gone."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api.app import PUBLIC
from api.auth.scopes import TokenScope
from api.deps import Access
from core.postgres import Postgres
from tests.api.auth.conftest import StartServer
from tests.api.conftest import Person, School, data, fault
from tests.realtime.guests import joined
from tests.realtime.nodes import served

_TABLE: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("scopes.yml").read_text())


async def _token(maker: Person, *scopes: str, **wish: Any) -> dict[str, Any]:
    made: dict[str, Any] = await maker.make("auth/service-tokens", name="figures", scopes=scopes, **wish)
    return made


def _script(maker: Person, made: dict[str, Any]) -> Person:
    return Person(maker.client, maker.id, maker.school_id, "", {"access_token": made["token"]})


def _rules(dependant: Dependant | None) -> Iterator[Access]:
    for part in dependant.dependencies if dependant else ():
        if isinstance(part.call, Access):
            yield part.call
        yield from _rules(part)


async def test_every_route_says_which_scope_opens_it(application: FastAPI) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for route in iter_route_contexts(application.routes):
        if (route.path or "") in PUBLIC:
            continue
        scopes = {rule.scope for rule in _rules(getattr(route, "dependant", None))}
        assert len(scopes) == 1 or None in scopes, route.path
        scope = "closed" if None in scopes else str(scopes.pop())
        found[scope] |= {f"{method} {route.path}" for method in getattr(route, "methods", ()) or ()}
    assert {scope: sorted(routes) for scope, routes in found.items()} == _TABLE


_CALLS = {
    "query": ("GET", "/cubejs-api/v1/meta"),
    "reports": ("GET", "/api/v1/reports"),
    "responses": ("GET", "/api/v1/responses"),
    "quizzes": ("GET", "/api/v1/quizzes"),
    "events": ("POST", "/api/v1/events"),
    "directory:read": ("GET", "/api/v1/users"),
}


def test_no_scope_is_left_out() -> None:
    assert set(_CALLS) == {str(scope) for scope in TokenScope}
    assert set(_TABLE) == {*_CALLS, "closed"}


async def test_a_token_opens_the_doors_of_its_scopes_and_no_other(school: School) -> None:
    for scope in _CALLS:
        script = _script(school.teacher, await _token(school.teacher, scope))
        for other, (method, path) in _CALLS.items():
            answer = await script.call(method, path, json=[] if method == "POST" else None)
            body = answer.json()
            refused = answer.status_code == 403 and "scope_missing" in str(body.get("code", body.get("error")))
            assert refused is (other != scope), (scope, other, answer.text)


async def test_a_token_never_opens_what_makes_rights(school: School) -> None:
    script = _script(school.admin, await _token(school.admin, *_CALLS))
    for method, path, body in (
        ("POST", "auth/service-tokens", {"name": "more", "scopes": ["query"], "days": 365}),
        ("PATCH", f"users/{school.admin.id}", {"password": "another good password"}),
        ("POST", "users", {"name": "x", "role": "admin", "email": "x@example.org", "password": "good password"}),
        ("POST", "enrolments", {"classroom_id": school.classroom["id"], "user_id": school.other_student.id}),
        ("POST", "auth/logout-all", None),
        ("DELETE", f"users/{school.admin.id}/sessions", None),
        ("POST", "live/sessions", {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"]}),
    ):
        fault(await script.call(method, f"/api/v1/{path}", json=body), 403, "scope_missing")


async def test_it_sees_what_its_maker_sees(school: School) -> None:
    script = _script(school.teacher, await _token(school.teacher, "directory:read"))
    own = data(await school.teacher.get("/api/v1/users"))
    assert data(await script.get("/api/v1/users")) == own
    fault(await script.get(f"/api/v1/users/{school.other_student.id}"), 404)


async def test_it_enters_no_live_quiz(application: FastAPI, school: School) -> None:
    wish = {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"]}
    opened = data(await school.teacher.post("/api/v1/live/sessions", wish), 201)
    made = await _token(school.teacher, *_CALLS)
    async with served(application) as url:
        with pytest.raises(AssertionError, match="scope_missing"):
            async with joined(url, made["token"], session_id=opened["session_id"]):
                pass


async def test_it_is_listed_without_its_secret_and_ended_by_its_maker_only(school: School) -> None:
    made = await _token(school.teacher, "query", days=7)
    (listed,) = data(await school.teacher.get("/api/v1/auth/service-tokens"))
    assert listed == {key: value for key, value in made.items() if key != "token"}
    path = f"/api/v1/auth/service-tokens/{made['id']}"
    fault(await school.admin.call("DELETE", path), 404)
    fault(await school.student.call("DELETE", path), 403)
    script = _script(school.teacher, made)
    assert (await script.get("/cubejs-api/v1/meta")).status_code == 200
    data(await school.teacher.call("DELETE", path))
    assert (await script.get("/cubejs-api/v1/meta")).status_code == 403
    fault(await school.teacher.call("DELETE", path), 404)
    assert data(await school.teacher.get("/api/v1/auth/service-tokens")) == []


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": "x"},
        {"name": "", "scopes": ["query"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": ["query"], "days": 366},
        {"name": "x", "scopes": ["query"], "days": 0},
        {"name": "x", "scopes": ["query"], "role": "operator"},
        {"name": "x" * 201, "scopes": ["query"]},
    ],
)
async def test_a_bad_wish_is_refused(school: School, wish: dict[str, Any]) -> None:
    fault(await school.teacher.post("/api/v1/auth/service-tokens", wish), 422, "invalid_field")


async def test_students_and_services_make_none_and_nobody_too_many(
    school: School, operator: Person, postgres: Postgres
) -> None:
    wish = {"name": "x", "scopes": ["query"]}
    fault(await school.student.post("/api/v1/auth/service-tokens", wish), 403)
    fault(await operator.post("/api/v1/auth/service-tokens", wish), 403)
    await postgres.fetch(
        "insert into service_tokens (id, user_id, name, scopes, expires_at) select gen_random_uuid(), %s, 'x', '{}',"
        " now() + interval '1 day' from generate_series(1, 49)",
        [school.teacher.id],
    )
    data(await school.teacher.post("/api/v1/auth/service-tokens", wish), 201)
    fault(await school.teacher.post("/api/v1/auth/service-tokens", wish), 409, "too_many_tokens")


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "admin"}])
async def test_it_dies_with_its_makers_account_or_role_on_every_server(
    start_server: StartServer, school: School, change: dict[str, Any]
) -> None:
    script = _script(school.teacher, await _token(school.teacher, "directory:read"))
    async with start_server() as far:
        data(await far.sees(script).get("/api/v1/users"))
        data(await school.admin.call("PATCH", f"/api/v1/users/{school.teacher.id}", json=change))
        fault(await script.get("/api/v1/users"), 401, "session_ended")
        await asyncio.sleep(2.5)
        fault(await far.sees(script).get("/api/v1/users"), 401, "session_ended")


async def test_it_outlives_a_log_out_and_a_rotation_of_keys(
    client: httpx2.AsyncClient, application: FastAPI, school: School, postgres: Postgres
) -> None:
    script = _script(school.admin, await _token(school.admin, "directory:read"))
    await postgres.fetch("update signing_keys set created_at = created_at - interval '1 minute'")
    await application.state.services.ingestion.keys.rotate()
    data(await school.admin.post("/api/v1/auth/logout-all"))
    data(await script.get("/api/v1/users"))
