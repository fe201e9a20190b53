"""The short cuts through FastAPI lead where FastAPI leads, and are taken where they should be."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.app import create_app
from api.direct import DirectRoute, Signpost, dependant_of, is_direct
from api.queries.routes import CUBE
from core.settings import Settings

_ASKED = [(method, f"{CUBE}{path}") for path in ("/load", "/sql", "/dry-run", "/meta") for method in ("GET", "POST")]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, not started."""
    return create_app(Settings())


def test_the_doors_of_questions_are_direct(app: FastAPI) -> None:
    routes = {(method, each.path): each for each in iter_route_contexts(app.routes) for method in each.methods or ()}
    assert [pair for pair in _ASKED if pair in routes and not is_direct(routes[pair].dependant)] == []


async def test_every_plain_path_leads_to_the_route_that_fastapi_finds(app: FastAPI) -> None:
    signpost = app.router.middleware_stack
    assert isinstance(signpost, Signpost)
    assert len(signpost.routes) > 60
    for (method, path), found in signpost.routes.items():
        assert await _usual_endpoint(app, method, path) is found.endpoint, (method, path)


async def _usual_endpoint(app: FastAPI, method: str, path: str) -> Any:
    """What FastAPI's own router would call: it is asked to serve, and stopped at the gate."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        pass

    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "root_path": "", "app": app, "state": {}, "client": ("127.0.0.1", 1),
    }  # fmt: skip
    with suppress(Exception):  # nothing has been started: whatever becomes of it, it got there
        await app.router.app(scope, receive, send)
    return scope["endpoint"]


def test_a_direct_route_calls_in_order_hands_over_values_and_falls_back_for_the_rest() -> None:
    told: list[str] = []

    async def rule(connection: HTTPConnection) -> None:
        told.append(f"rule {connection.url.path}")

    async def value(request: Request) -> str:
        told.append("value")
        return request.headers["x-name"]

    async def outer() -> None:
        told.append("outer")

    router = APIRouter(route_class=DirectRoute, dependencies=[Depends(rule)])

    @router.get("/plain")
    async def plain(request: Request, name: str = Depends(value)) -> Response:
        return Response(f"{name} {is_direct(dependant_of(request.scope))}")

    @router.get("/asked")
    async def asked(request: Request, number: int) -> Response:
        return Response(f"{number} {is_direct(dependant_of(request.scope))}")

    app = FastAPI(dependencies=[Depends(outer)])
    app.include_router(router)
    app.router.middleware_stack = Signpost(app)
    client = TestClient(app)
    assert client.get("/plain", headers={"x-name": "Ada"}).text == "Ada True"
    assert told == ["outer", "rule /plain", "value"]
    assert client.get("/asked?number=3").text == "3 False"
    assert client.get("/asked?number=x").status_code == 422
    assert client.post("/plain").status_code == 405
