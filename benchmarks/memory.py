"""Whether a server's memory stays flat: events and questions for some minutes, and its resident size meanwhile.

    python -m benchmarks.memory --minutes 10

The slope is that of the second half, when the caches are full; beside it what a leak of 100 bytes an event would add.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import linear_regression

from api.cli.client import mint
from api.principal import Principal
from benchmarks.http import _connect, light, serving
from benchmarks.ingest import Place, _request, _seed, _senders
from benchmarks.table import UNLIMITED, show
from core.postgres import connect
from core.postgres_server import PostgresServer
from core.settings import Settings

_BATCH, _SENDERS, _SAMPLES = 500, 2, 20
_RATE = 4_000
_LEAK_BYTES = 100


def _resident_mb(pid: int) -> float:
    """The resident size of a process."""
    line = next(text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def _run(url: str, token: str, place: Place, pid: int, minutes: float) -> tuple[list[tuple[float, float]], int]:
    """(minute, MB) and how many events were sent."""
    end, began, sent = time.perf_counter() + 60 * minutes, time.perf_counter(), 0
    sizes: list[tuple[float, float]] = []

    async def send(number: int) -> None:
        nonlocal sent
        (sender,), count, due = await _senders(url, 1), 0, time.perf_counter()
        while due < end:
            run = f"m{number}-{count}"
            body = "[" + ",".join(place.event(n, run) for n in range(_BATCH)) + "]"
            await sender.send(_request("/api/v1/events", token, body))
            sent, count, due = sent + _BATCH, count + 1, due + _SENDERS * _BATCH / _RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def ask() -> None:
        connection, number = await _connect(url, token), 0
        while time.perf_counter() < end:
            number += 1
            await connection.load(light(number))
            await asyncio.sleep(0.05)

    async def look() -> None:
        while time.perf_counter() < end:
            sizes.append(((time.perf_counter() - began) / 60, _resident_mb(pid)))
            await asyncio.sleep(60 * minutes / _SAMPLES)

    await asyncio.gather(ask(), look(), *(send(number) for number in range(_SENDERS)))
    return [*sizes, ((time.perf_counter() - began) / 60, _resident_mb(pid))], sent


def main() -> None:
    """Fill a folder, serve it, watch, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args().minutes
    os.environ |= {f"EDU_{name.upper()}": str(value) for name, value in UNLIMITED.items()}
    os.environ |= {"EDU_LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as name:
        folder = Path(name)
        seeding = multiprocessing.get_context("spawn").Process(target=_seed, args=(folder,))
        seeding.start()
        seeding.join()
        with serving(folder) as url:
            with connect(PostgresServer(folder / "postgres").url) as connection:
                place = Place(connection)
            who = Principal(role="admin", user_id=place.admin, school_id=place.school)
            token = mint(Settings(data_dir=folder), who, timedelta(minutes=minutes + 10))
            pid = json.loads((folder / "holder.json").read_text())["pid"]
            sizes, sent = asyncio.run(_run(url, token, place, pid, minutes))
    _report(sizes, sent, minutes)


def _report(sizes: list[tuple[float, float]], sent: int, minutes: float) -> None:
    half = sizes[len(sizes) // 2 :]
    slope = linear_regression([moment for moment, _ in half], [size for _, size in half]).slope
    leak = sent / minutes * _LEAK_BYTES / 1e6
    show(
        f"Memory of a server with ClickHouse in it, {sent:,} events and 20 questions a second in {minutes:g} minutes",
        ["minute", "MB"],
        [(f"{moment:.1f}", size) for moment, size in sizes],
    )
    show("Second half, MB a minute", ["", "MB"], [("the server", slope), ("a leak of 100 bytes an event", leak)])


if __name__ == "__main__":
    main()
