"""Who may do what, on every route: the matrix (matrix.yml) against the whole application with two schools in it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx2
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.app import PUBLIC, create_app
from core.postgres import Postgres
from core.settings import Settings
from tests.api.access.world import CALLERS, SERVICE, STRANGERS, World, make_world
from tests.api.conftest import data, login

_ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("matrix.yml").read_text())
_SCOPES: dict[str, list[str]] = yaml.safe_load((Path(__file__).parents[1] / "auth/scopes.yml").read_text())
_SCOPE_OF = {route: scope for scope, routes in _SCOPES.items() for route in routes}
_EVERYBODY = (*CALLERS, SERVICE, *STRANGERS)
_fresh = count(1)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    """A new route is closed to nobody by accident: somebody must write down who may come in."""
    there = set(routes(create_app(Settings())))
    written = {row["route"] for row in _ROWS}
    assert there - written == set(), "routes without a row in matrix.yml"
    assert written - there == set(), "rows without a route"


def routes(app: FastAPI) -> list[str]:
    """`METHOD path` of every route of HTTP, those outside the schema too."""
    found = []
    for route in iter_route_contexts(app.routes):
        methods = getattr(route, "methods", None)
        if methods is None and "websocket" in type(route.original_route).__name__.lower():
            continue
        for method in sorted(set(methods or {"GET"}) - {"HEAD", "OPTIONS"}):
            found.append(f"{method} {route.path}")
    return found


def test_what_is_public_in_the_matrix_is_public_in_the_application() -> None:
    assert {row["route"].split()[1] for row in _ROWS if "public" in row} == PUBLIC - {"/ws/quiz"}


async def test_each_caller_gets_what_his_role_may_see(
    application: FastAPI, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    world = await make_world(application, client, postgres)
    faults: list[str] = []
    cells = 0
    for row in _ROWS:
        for caller, status in _expected(row).items():
            cells += 1
            faults += await _fault(world, row, caller, status)
    print(f"{len(_ROWS)} rows, {cells} cells")
    assert not faults, "\n".join(faults)


def _expected(row: dict[str, Any]) -> dict[str, int]:
    if "public" in row:
        return dict.fromkeys(_EVERYBODY, row["public"])
    statuses = [int(text) for text in row["expect"].split()]
    closed = 403 if "/cubejs-api/" in row["route"] else 401
    return dict(zip(CALLERS, statuses, strict=True)) | {SERVICE: 403} | dict.fromkeys(STRANGERS, closed)


async def _fault(world: World, row: dict[str, Any], caller: str, status: int) -> list[str]:
    method, template = row["route"].split()
    target = world.target | await _made(world, row) | {"nobody": f"{caller}@example.net"}
    path = row.get("path", template).format(**target)
    scope = _SCOPE_OF.get(row["route"], "closed")
    answer = await world.call(caller, method, path, _filled(row.get("body"), target), scope)
    where = f"{caller}: {method} {path} {json.dumps(row.get('body', ''))}"
    faults = []
    if answer.status_code != status:
        faults.append(f"{where}: {answer.status_code} instead of {status}: {answer.text[:200]}")
    if leaked := world.leaked(caller, _text(answer)):
        faults.append(f"{where}: shows {leaked}")
    return faults


async def _made(world: World, row: dict[str, Any]) -> dict[str, Any]:
    """What is made anew for each caller, because he might end it."""
    found = re.search(r"\{(fresh_\w+)\}", row.get("path", ""))
    return {found[1]: await _MAKERS[found[1]](world)} if found else {}


async def _make_quiz(world: World) -> int:
    question = {"title": "Q", "qtype": "free_text", "answer_key": "a"}
    quiz = {"title": f"Fresh {next(_fresh)}", "classroom_id": world.target["classroom"], "questions": [question]}
    return int((await world.people["h.admin"].make("quizzes", **quiz))["id"])


async def _make_user(world: World) -> int:
    return int((await world.people["h.admin"].make("users", name=f"Fresh {next(_fresh)}", role="student"))["id"])


async def _make_enrolment(world: World) -> int:
    place = {"classroom_id": world.target["classroom"], "user_id": await _make_user(world)}
    return int((await world.people["h.admin"].make("enrolments", **place))["id"])


async def _make_session(world: World) -> str:
    """A log-in of the admin of school h."""
    admin = await login(world.client, world.people["h.admin"].email)
    return str(next(row["id"] for row in data(await admin.get("/auth/sessions")) if row["current"]))


async def _make_token(world: World) -> str:
    """A service token of the teacher of class a."""
    made = await world.people["h.a.teacher"].make("auth/service-tokens", name="fresh", scopes=["query"])
    return str(made["id"])


async def _make_invitation(world: World) -> str:
    """A join code of the admin of school h."""
    return str((await world.people["h.admin"].make("invitations", role="teacher"))["id"])


async def _make_hold(world: World) -> int:
    """A hold on somebody of school h."""
    return int((await world.people["h.admin"].make("holds", user_id=await _make_user(world), reason="court"))["id"])


async def _make_erasure(world: World) -> int:
    """The erasure of somebody of school h."""
    admin = world.people["h.admin"]
    path = f"/api/v1/users/{await _make_user(world)}/erasure"
    seal = data(await admin.get(path))["confirmation"]
    return int(data(await admin.post(path, {"confirmation": seal}), 202)["id"])


_MAKERS: dict[str, Callable[[World], Awaitable[Any]]] = {
    "fresh_quiz": _make_quiz,
    "fresh_user": _make_user,
    "fresh_enrolment": _make_enrolment,
    "fresh_session": _make_session,
    "fresh_token": _make_token,
    "fresh_invitation": _make_invitation,
    "fresh_hold": _make_hold,
    "fresh_erasure": _make_erasure,
}


def _text(answer: httpx2.Response) -> str:
    """What was answered; of an archive all that is in it."""
    if answer.headers.get("content-type") != "application/zip":
        return answer.text
    with ZipFile(BytesIO(answer.content)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def _filled(body: Any, target: dict[str, Any]) -> Any:
    if isinstance(body, dict):
        return {key: _filled(value, target) for key, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, target) for value in body]
    if isinstance(body, str) and body.startswith("{"):
        return target[body.strip("{}")]
    return body


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["route"])
def test_a_row_says_something_about_every_caller(row: dict[str, Any]) -> None:
    assert ("public" in row) != ("expect" in row)
    assert set(_expected(row)) == set(_EVERYBODY)
