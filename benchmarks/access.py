"""What it costs to know who asks: a route with its rule beside the bare route, and other requests during many log-ins.

In process over ASGI, without a socket: what is measured is ours. Real Postgres; every log-in checks an argon2id hash.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from fastapi import APIRouter, Depends, FastAPI

from api.app import create_app, started
from api.auth.scopes import TokenScope
from api.deps import Services, require
from api.principal import Principal
from benchmarks.table import UNLIMITED, percentile, show
from core.settings import Settings
from core.telemetry import configure_logging

_ROUNDS, _SECONDS, _LOGINS_A_MINUTE = 2000, 20.0, 500
_PASSWORD = "correct horse battery"


async def _nothing() -> dict[str, bool]:
    return {"ok": True}


def _add_routes(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_route("/bench/bare", _nothing)
    router.add_api_route("/bench/ruled", _nothing, dependencies=[Depends(require(scope=TokenScope.QUERY))])
    app.include_router(router)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    """The application over embedded stores, with the two routes."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder:
        settings = Settings(data_dir=Path(folder), log_level="warning", open_registration=True, **UNLIMITED)
        configure_logging(settings)
        app = create_app(settings)
        _add_routes(app)
        async with started(app):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://bench") as client:
                yield app, client


async def call(app: FastAPI, path: str, token: str) -> float:
    """Milliseconds of one request, from the ASGI call to its end."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"bench"), (b"authorization", f"Bearer {token}".encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("bench", 80),
        "client": ("127.0.0.1", 1),
    }
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    began = time.perf_counter()
    await app(scope, receive, send)
    spent = (time.perf_counter() - began) * 1000
    if status != [200]:
        sys.exit(f"{path} answered {status}")
    return spent


async def overhead(app: FastAPI, services: Services) -> None:
    """The bare route, with a rule and a token seen before, and with a token seen for the first time; interleaved."""
    principal = Principal("admin", 1, 1)
    known = services.tokens.issue(principal)
    fresh = [services.tokens.issue(principal) for _ in range(_ROUNDS)]
    spent: dict[str, list[float]] = {"bare": [], "known token": [], "new token": []}
    for number in range(_ROUNDS):
        spent["bare"].append(await call(app, "/bench/bare", known))
        spent["known token"].append(await call(app, "/bench/ruled", known))
        spent["new token"].append(await call(app, "/bench/ruled", fresh[number]))
    base = median(spent["bare"])
    rows = [
        (name, median(times), percentile(times, 0.95), median(times) - base, median(times) / base)
        for name, times in spent.items()
    ]
    show("A request in process (ms)", ["route", "median", "p95", "more than bare (≤ 1)", "ratio"], rows)


async def logins(app: FastAPI, client: httpx2.AsyncClient, token: str) -> None:
    """Other requests' p95 with and without 500 log-ins a minute."""
    body = {"name": "A", "email": "a@example.org", "password": _PASSWORD, "role": "admin", "school_name": "S"}
    (await client.post("/auth/register", json=body)).raise_for_status()
    wish = {"email": "a@example.org", "password": _PASSWORD}
    done: list[float] = []

    async def log_in() -> None:
        began = time.perf_counter()
        (await client.post("/auth/login", json=wish)).raise_for_status()
        done.append((time.perf_counter() - began) * 1000)

    await log_in()
    done.clear()
    times: dict[bool, list[float]] = {False: [], True: []}
    for with_logins in (False, True, False, True):
        times[with_logins] += await _others(app, token, log_in if with_logins else None)
    p95 = {key: percentile(value, 0.95) for key, value in times.items()}
    rows = [
        ("others alone", median(times[False]), p95[False], 1.0),
        (f"with {_LOGINS_A_MINUTE} log-ins a minute", median(times[True]), p95[True], p95[True] / p95[False]),
        (f"the log-ins ({len(done)})", median(done), percentile(done, 0.95), ""),
    ]
    show("Other requests (ms)", ["what", "median", "p95", "p95 ratio"], rows)


async def _others(app: FastAPI, token: str, log_in: Callable[[], Awaitable[None]] | None) -> list[float]:
    """A request every 5 ms; the time counts from when it was due, so waiting for the loop counts too."""
    running: set[asyncio.Task[Any]] = set()
    times: list[float] = []
    began = time.perf_counter()
    next_login = 0.0
    for number in range(int(_SECONDS / 2 / 0.005)):
        due = began + number * 0.005
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if log_in and number * 0.005 >= next_login:
            next_login += 60 / _LOGINS_A_MINUTE
            running.add(asyncio.ensure_future(log_in()))
        late = max(0.0, time.perf_counter() - due) * 1000
        times.append(late + await call(app, "/bench/ruled", token))
    await asyncio.gather(*running)
    return times


async def main() -> None:
    """Both measurements."""
    async with running() as (app, client):
        services = get_services_of(app)
        gc.freeze()
        await overhead(app, services)
        await logins(app, client, services.tokens.issue(Principal("operator", subject="bench")))


def get_services_of(app: FastAPI) -> Services:
    """The joined parts of a running application."""
    found = app.state.services
    assert isinstance(found, Services)
    return found


if __name__ == "__main__":
    asyncio.run(main())
