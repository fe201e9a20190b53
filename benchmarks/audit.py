"""What a line of the audit log costs a request: the same request with the log and without it, one after the other.

The application over embedded stores in this process, no network: `GET /api/v1/users/{id}` through all middleware.
Without: the route's trail notes nothing. Beside it the group's commit, and how many lines a second one chain takes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median

import httpx2
from fastapi import FastAPI

from api.app import create_app, started
from api.audit import store
from api.audit.chain import verify
from api.audit.entries import Entry
from api.audit.queue import AuditLog
from api.cli.client import mint
from api.principal import Principal
from benchmarks.table import UNLIMITED, show
from core.embedded import open_stores
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import configure_logging

_ROUNDS = 400
_GROUPS = (1, 10, 100, 1_000)


class Silent(AuditLog):
    """A log that takes nothing."""

    async def note(self, entry: Entry) -> None:
        """Forget it."""


async def _request(client: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(path)
    answer.raise_for_status()
    return (time.perf_counter() - began) * 1000


async def request_times(app: FastAPI, client: httpx2.AsyncClient, path: str) -> tuple[list[float], list[float]]:
    """Milliseconds with and without, interleaved."""
    services = app.state.services
    logs: tuple[AuditLog, AuditLog] = (services.audit, Silent(None))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for log, found in zip(logs, times, strict=True):
            services.audit = log
            found.append(await _request(client, path))
    services.audit = logs[0]
    return times


async def group_times(postgres: Postgres, lines: int) -> list[float]:
    """Milliseconds of one group's transaction."""
    times = []
    for _ in range(20):
        entries = [Entry("user.read", "admin", 1, 1, (number,)) for number in range(lines)]
        began = time.perf_counter()
        async with postgres.transaction() as connection:
            await store.append(connection, entries)
        times.append((time.perf_counter() - began) * 1000)
    return times


@asynccontextmanager
async def _application(folder: Path) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient, str]]:
    settings = Settings(data_dir=folder, log_level="error", **UNLIMITED)
    configure_logging(settings)
    async with open_stores(settings) as stores, started(create_app(stores=stores)) as app:
        school = await stores.postgres.fetch_one("insert into schools (name) values ('s') returning id")
        user = await stores.postgres.fetch_one(
            "insert into users (school_id, role, name) values (%s, 'admin', 'a') returning id", [(school or {})["id"]]
        )
        number = (user or {})["id"]
        token = mint(settings, Principal("admin", number, (school or {})["id"]), timedelta(hours=1))
        transport = httpx2.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://local", headers=headers) as client:
            yield app, client, f"/api/v1/users/{number}"


async def _measure() -> Sequence[Sequence[str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with _application(Path(folder)) as (app, client, path):
            await request_times(app, client, path)
            noted, silent = await request_times(app, client, path)
            postgres = app.state.services.postgres
            rows = [
                ["a request, median", f"{median(noted):.2f} ms", f"{median(silent):.2f} ms without the log"],
                ["a line's share of it", f"{median(noted) - median(silent):.2f} ms", "target: with all checks ≤ 1 ms"],
            ]
            for lines in _GROUPS:
                took = median(await group_times(postgres, lines))
                rows.append([f"a group of {lines:,}", f"{took:.1f} ms", f"{lines / took * 1000:,.0f} lines/s"])
            began = time.perf_counter()
            found = await asyncio.to_thread(verify, postgres.url)
            took = time.perf_counter() - began
            rows.append([f"verify {found.lines:,} lines", f"{took:.2f} s", "whole" if found.whole else "broken"])
    return rows


def main() -> None:
    """Measure and print."""
    show("What the audit log costs", ["", "time", ""], asyncio.run(_measure()))


if __name__ == "__main__":
    main()
