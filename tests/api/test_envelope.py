"""Every answer has one shape, and what is not clean never reaches a route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends
from structlog.testing import capture_logs

from api.app import check_access, create_app, started
from api.deps import require
from core.embedded import Stores
from core.errors import StartupError
from core.postgres import Postgres
from core.settings import Settings
from tests.api.conftest import PASSWORD, Person, fault, register

_BODY = '{"name": "A", "email": "a@example.org", "password": "%s", "role": "admin", "school_name": %s}'


async def test_nothing_there_and_wrong_method_have_the_shape_of_all_errors(client: httpx2.AsyncClient) -> None:
    fault(await client.get("/api/v1/nowhere"), 404, "not_found")
    fault(await client.delete("/auth/login"), 405, "method_not_allowed")
    fault(await client.get("/web/nothing.css"), 404, "not_found")


async def test_without_a_token_nothing_opens(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/users")
    fault(answer, 401, "no_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    cube = await client.get("/cubejs-api/v1/meta")
    assert (cube.status_code, cube.json()) == (403, {"error": "Authorization header isn't set"})


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("", 422, "invalid_field"),
        ("[]", 422, "invalid_field"),
        ("null", 422, "invalid_field"),
        (_BODY % (PASSWORD, "NaN"), 400, "invalid_json"),
        (_BODY % (PASSWORD, '"\\ud800"'), 400, "invalid_json"),
        (_BODY % (PASSWORD, '"a\\u0000b"'), 400, "invalid_text"),
        (_BODY % (PASSWORD, '"a\x00b"'), 400, "invalid_json"),
        (_BODY % (PASSWORD, "[" * 70 + "]" * 70), 400, "too_deep"),
        (_BODY % (PASSWORD, "[" * 100_000), 400, "too_deep"),
        (_BODY % (PASSWORD, '{"a": 1e999}'), 400, "invalid_json"),
        (_BODY % (PASSWORD, "7"), 422, "invalid_field"),
    ],
)
async def test_a_body_that_is_not_clean_is_refused_and_nothing_is_written(
    client: httpx2.AsyncClient, postgres: Postgres, text: str, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    fault(await client.post("/auth/register", content=text, headers=headers), status, code)
    assert await postgres.fetch("select 1 from users union all select 1 from schools") == []


async def test_a_backslash_before_u0000_is_text_like_any_other(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    text = _BODY % (PASSWORD, '"a\\\\u0000b"')
    assert (await client.post("/auth/register", content=text, headers=headers)).status_code == 201


async def test_the_form_of_the_body_must_be_named(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "text/plain"}
    fault(await client.post("/auth/register", content=_BODY % (PASSWORD, '"S"'), headers=headers), 422)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(client: httpx2.AsyncClient, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 1_000_000

    content: Any = chunks() if chunked else b"x" * 11_000_000
    headers = {"Content-Type": "application/json"}
    fault(await client.post("/auth/login", content=content, headers=headers), 413, "too_large")


async def test_a_nul_in_the_address_is_refused(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    fault(await admin.get("/api/v1/users?email=a%00b"), 400, "invalid_text")
    fault(await admin.get("/api/v1/reports/a%00b"), 400, "invalid_text")


@pytest.mark.parametrize("query", ["page=0", "page=x", "page_size=501", "page=99999999999999999999", "role=boss"])
async def test_a_bad_parameter_is_named(client: httpx2.AsyncClient, query: str) -> None:
    admin = await register(client, "admin", school_name="S")
    answer = fault(await admin.get(f"/api/v1/users?{query}"), 422, "invalid_field")
    assert answer["error"]["details"]["errors"][0]["field"] == query.split("=")[0]


async def test_an_id_that_no_database_holds_is_refused_and_not_a_fault_of_ours(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    for text in ("0", "-1", str(2**63), "x", "1.5"):
        fault(await admin.get(f"/api/v1/users/{text}"), 422)


async def test_the_request_id_comes_back(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["X-Request-ID"] == "abc-1"
    made = await client.get("/health/live", headers={"X-Request-ID": "no\tgood one"})
    assert len(made.headers["X-Request-ID"]) == 36


async def test_answers_carry_the_security_headers_and_are_not_kept(client: httpx2.AsyncClient) -> None:
    for path in ("/health", "/api/v1/nowhere", "/"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_what_we_did_not_foresee_tells_nothing(stores: Stores) -> None:
    application = create_app(stores=stores)

    @application.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("secret word")

    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
    async with started(application), httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        with capture_logs() as logs:
            answer = await client.get("/breaks")
    assert "secret word" not in str(fault(answer, 500, "internal"))
    assert answer.headers["X-Request-ID"]
    assert "secret word" in str([entry.get("exc_info") for entry in logs])


async def test_a_store_that_is_away_is_told_as_such(client: httpx2.AsyncClient, postgres: Postgres) -> None:
    await postgres.close()
    fault(await client.post("/auth/login", json={"email": "a@b.cd", "password": PASSWORD}), 503, "unavailable")
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "unavailable")


async def test_health_has_the_shape_of_the_design(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health")
    body = answer.json()
    assert set(body) == {"status", "version", "checks", "uptime_seconds"}
    assert (body["checks"]["database"], body["checks"]["warehouse"]) == ("ok", "ok")
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    assert (await client.get("/health/ready")).status_code == 200


async def test_metrics_count_requests_by_route_and_never_by_id(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    await admin.get(f"/api/v1/users/{admin.id}")
    await client.get("/some/private/name")
    text = (await client.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="/api/v1/users/{user_id}",status="200"}' in text
    assert "http_request_duration_seconds_bucket" in text
    assert "private" not in text


def test_every_address_has_an_access_rule_or_the_start_fails() -> None:
    application = create_app(Settings())
    check_access(application)
    inner = APIRouter()
    inner.add_api_route("/guarded", lambda: None, dependencies=[Depends(require("admin"))])
    application.include_router(inner, prefix="/x")
    check_access(application)
    inner.add_api_route("/forgotten", lambda: None)
    with pytest.raises(StartupError, match="/x/forgotten"):
        check_access(application)


async def test_the_openapi_document_describes_every_route(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path} has no description"


async def test_many_at_once_are_each_answered_as_themselves(client: httpx2.AsyncClient) -> None:
    people: list[Person] = [await register(client, "admin", school_name=f"S{n}") for n in range(3)]
    answers = await asyncio.gather(*(person.get("/api/v1/users/me") for person in people * 10))
    assert [answer.json()["data"]["id"] for answer in answers] == [person.id for person in people] * 10
