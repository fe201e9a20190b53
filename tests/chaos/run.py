"""Clients write over HTTP while everything is killed again and again; then the account is made up."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg

from core.clock import now
from core.warehouse import Warehouse
from ingestion.loader import _snapshot, _waiting
from tests.chaos.installation import Installation
from tests.ingestion.ledger import Ledger, balance

_CLIENTS, _ROWS = 3, 40
_SETTLE_SECONDS = 120
_IN_THE_WAY = ("ClickHouse", "loader")
_OPEN_SECONDS = 2.0
_OPEN = "select 1 from batches where state = 'prepared' limit 1"


@dataclass
class Outcome:
    """What happened, and how it stands afterwards."""

    kills: Counter[str]
    ledger: Ledger
    requests: int
    again: int
    recovered: int


@dataclass
class _Clients:
    """Each sends the same request until it is told that it was taken."""

    installation: Installation
    told: set[str] = field(default_factory=set)
    requests: int = 0
    again: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, client: httpx2.AsyncClient) -> None:
        while not self.stop.is_set():
            body: list[dict[str, object]] = [
                {"event_name": "app_error", "client_id": str(uuid4()), "timestamp": now().isoformat(),
                 "metadata": {"message": "boom"}}
                for _ in range(_ROWS)
            ]  # fmt: skip
            self.requests += 1
            while not await self._taken(client, body):
                self.again += 1
                await asyncio.sleep(0.1)

    async def _taken(self, client: httpx2.AsyncClient, body: list[dict[str, object]]) -> bool:
        try:
            answer = await client.post("/api/v1/events", json=body)
        except httpx2.TransportError:
            return False
        if answer.status_code in (429, 500, 502, 503):
            return False
        assert answer.status_code == 202, answer.text
        items = answer.json()["data"]["items"]
        assert all(item["status"] in ("accepted", "duplicate") for item in items), answer.text
        self.told |= {item["id"] for item in items}
        return True


async def chaos(folder: Path, seconds: float, seed: int, pause: tuple[float, float] = (0.3, 2.0)) -> Outcome:
    """Kill for so many seconds; everything that was started is stopped at the end."""
    installation = await asyncio.to_thread(Installation, folder)
    try:
        clients = _Clients(installation)
        headers = {"Authorization": f"Bearer {installation.token}"}
        async with httpx2.AsyncClient(base_url=installation.url, headers=headers, timeout=20) as client:
            writing = [asyncio.create_task(clients.run(client)) for _ in range(_CLIENTS)]
            await _kill(installation, seconds, random.Random(seed), pause)
            clients.stop.set()
            await asyncio.to_thread(installation.wait)
            await asyncio.wait_for(asyncio.gather(*writing), _SETTLE_SECONDS)
        await asyncio.to_thread(_settle, installation.postgres.url)
        return await asyncio.to_thread(_outcome, installation, clients)
    finally:
        await asyncio.to_thread(installation.close)


async def _kill(installation: Installation, seconds: float, chance: random.Random, pause: tuple[float, float]) -> None:
    """Each is killed once before anybody is killed twice; half of the time everything had come up before."""
    end, turn = time.monotonic() + seconds, list(installation.victims)
    chance.shuffle(turn)
    while time.monotonic() < end:
        if chance.random() < 0.5:
            await asyncio.to_thread(installation.wait)
        await asyncio.sleep(chance.uniform(*pause))
        ready = [victim for victim in turn if await asyncio.to_thread(victim.is_ready)]
        if ready:
            if ready[0].name in _IN_THE_WAY and chance.random() < 0.8:
                await asyncio.to_thread(_until_a_batch_is_open, installation.postgres.url)
            ready[0].kill()
            turn.remove(ready[0])
        turn = turn or chance.sample(installation.victims, len(installation.victims))


def _until_a_batch_is_open(url: str) -> None:
    """Wait for a batch that is written down and not confirmed: killed there, somebody must find out what arrived."""
    end = time.monotonic() + _OPEN_SECONDS
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        while time.monotonic() < end and not connection.execute(_OPEN).fetchone():
            pass


def _settle(url: str) -> None:
    target, end = _snapshot(url), time.monotonic() + _SETTLE_SECONDS
    while _waiting(url, target):
        assert time.monotonic() < end, "the loaders do not catch up"
        time.sleep(0.1)


def _outcome(installation: Installation, clients: _Clients) -> Outcome:
    warehouse = Warehouse(installation.clickhouse_url, threads=1)
    ledger = balance(installation.postgres.url, warehouse, clients.told)
    warehouse.close()
    kills: Counter[str] = Counter()
    for victim in installation.victims:
        kills[victim.name] += victim.kills
    return Outcome(kills, ledger, clients.requests, clients.again, len(installation.recovered()))
