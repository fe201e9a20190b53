"""Who may do what, on every route: the matrix (matrix.yml) against the whole application with two schools in it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.app import PUBLIC, create_app
from core.postgres import Postgres
from core.settings import Settings
from tests.api.access.world import CALLERS, STRANGERS, World, make_world

_ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("matrix.yml").read_text())
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
        return dict.fromkeys((*CALLERS, *STRANGERS), row["public"])
    statuses = [int(text) for text in row["expect"].split()]
    closed = 403 if "/cubejs-api/" in row["route"] else 401
    return dict(zip(CALLERS, statuses, strict=True)) | dict.fromkeys(STRANGERS, closed)


async def _fault(world: World, row: dict[str, Any], caller: str, status: int) -> list[str]:
    method, template = row["route"].split()
    target = world.target | await _made(world, row) | {"nobody": f"{caller}@example.net"}
    path = row.get("path", template).format(**target)
    answer = await world.call(caller, method, path, _filled(row.get("body"), target))
    where = f"{caller}: {method} {path} {json.dumps(row.get('body', ''))}"
    faults = []
    if answer.status_code != status:
        faults.append(f"{where}: {answer.status_code} instead of {status}: {answer.text[:200]}")
    if leaked := world.leaked(caller, answer.text):
        faults.append(f"{where}: shows {leaked}")
    return faults


async def _made(world: World, row: dict[str, Any]) -> dict[str, Any]:
    path, admin = row.get("path", ""), world.people["h.admin"]
    if "{fresh_quiz}" in path:
        quiz = {"title": f"Fresh {next(_fresh)}", "classroom_id": world.target["classroom"]}
        question = {"title": "Q", "qtype": "free_text", "answer_key": "a"}
        return {"fresh_quiz": (await admin.make("quizzes", **quiz, questions=[question]))["id"]}
    if "{fresh_enrolment}" in path:
        pupil = await admin.make("users", name=f"Fresh {next(_fresh)}", role="student")
        made = await admin.make("enrolments", classroom_id=world.target["classroom"], user_id=pupil["id"])
        return {"fresh_enrolment": made["id"]}
    return {}


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
    assert len(_expected(row)) == len(CALLERS) + len(STRANGERS)
