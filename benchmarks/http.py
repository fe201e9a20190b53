"""What HTTP adds to a question: `/load` beside the bare ClickHouse call, requests a second, stalls of the event loop.

One server process (`eduanalytics serve`, embedded stores, loopback) and one client over keep-alive connections share
the machine. Cube 1.7.43 on the same kind of machine: 5 ms repeated, 25 ms new; 310 and 71 requests/s.

Which question Cube was asked is not recorded, and a new question costs what ClickHouse takes for it: so there are two,
one over joins that takes ClickHouse several times as long as we do, and a light one over one small table. Beside each
stands how many of the bare calls one thread of this machine answers, which no server can pass on one core.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from api.cli.client import mint, operator
from benchmarks.table import percentile, show
from core.embedded import open_stores
from core.settings import Settings
from core.warehouse import Warehouse
from engine import SecurityContext, Statement, compile_query, load_catalog
from engine.query.normalisation import normalize
from engine.run.limits import query_settings, with_limits
from ingestion.importers import import_source
from ingestion.importers.district import District
from ingestion.loader import Loader

_ROUNDS, _SECONDS, _CONNECTIONS = 300, 4.0, 8
_CUBE = {"repeated": 310, "new": 71, "light": 71}
_NEW = {"new": "new over joins", "light": "new, one small table"}
_WIDE = {"dimensions": ["responses.id", "students.name", "questions.title", "responses.submitted_at"], "limit": 50_000}
_number = count(1)


def question(number: int) -> dict[str, Any]:
    """Two measures by two dimensions across joins and by month; the literal makes it a question of its own."""
    return {
        "measures": ["responses.count", "responses.accuracy"],
        "dimensions": ["schools.name", "quizzes.subject"],
        "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": "month"}],
        "filters": [{"member": "responses.attempt_number", "operator": "lte", "values": [str(number)]}],
    }


def light(number: int) -> dict[str, Any]:
    """One measure of one small table by one of its columns; the literal makes it a question of its own."""
    return {
        "measures": ["quizzes.count"],
        "dimensions": ["quizzes.subject"],
        "filters": [{"member": "quizzes.title", "operator": "notEquals", "values": [str(number)]}],
    }


class Connection:
    """One keep-alive connection that asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"

    async def load(self, query: Mapping[str, Any]) -> bytes:
        """The body of /load."""
        body = json.dumps({"query": query}).encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return await self._exchange(f"POST /cubejs-api/v1/load{self._head}{kind}".encode() + body)

    async def alive(self) -> bytes:
        """The body of /livez."""
        return await self._exchange(f"GET /livez{self._head}\r\n".encode())

    async def _exchange(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if b" 200 " not in head[:20]:
            sys.exit(f"refused: {body[:300]!r}")
        return body


async def _connect(url: str, token: str) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port, limit=1 << 26)
    return Connection(reader, writer, token)


async def _latency(connection: Connection, ask: Callable[[], dict[str, Any]]) -> list[float]:
    times = []
    for _ in range(_ROUNDS):
        query = ask()
        began = time.perf_counter()
        await connection.load(query)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def _throughput(connections: Sequence[Connection], ask: Callable[[], dict[str, Any]]) -> float:
    """Answers a second over all connections."""
    end = time.perf_counter() + _SECONDS

    async def run(connection: Connection) -> int:
        done = 0
        while time.perf_counter() < end:
            await connection.load(ask())
            done += 1
        return done

    return sum(await asyncio.gather(*map(run, connections))) / _SECONDS


async def _stalls(busy: Connection, other: Connection, rounds: int = 8) -> tuple[list[float], float, int]:
    """How long `/livez` takes while another connection gets an answer of many rows; that answer's time and size."""
    waits: list[float] = []
    answers: list[float] = []
    size = 0
    for number in range(rounds):
        began = time.perf_counter()
        task = asyncio.create_task(busy.load(_WIDE | {"offset": number}))
        while not task.done():
            asked = time.perf_counter()
            await other.alive()
            waits.append((time.perf_counter() - asked) * 1000)
        answers.append((time.perf_counter() - began) * 1000)
        size = len(task.result())
    return waits, median(answers), size


async def _measured(url: str, token: str) -> dict[str, Any]:
    connections = [await _connect(url, token) for _ in range(_CONNECTIONS)]
    first, second = connections[:2]

    def repeated() -> dict[str, Any]:
        return question(1_000_000)

    def new() -> dict[str, Any]:
        return question(next(_number))

    def new_light() -> dict[str, Any]:
        return light(next(_number))

    for ask in (new, new_light, repeated):
        await _latency(first, ask)
    return {
        "new": await _latency(first, new),
        "light": await _latency(first, new_light),
        "repeated": await _latency(first, repeated),
        "new/s": await _throughput(connections, new),
        "light/s": await _throughput(connections, new_light),
        "repeated/s": await _throughput(connections, repeated),
        "stalls": await _stalls(first, second),
    }


def _bare(folder: Path) -> dict[str, list[float]]:
    """Milliseconds of the same statements on the same rows with a client in this process, without the server."""
    settings = Settings(data_dir=folder)
    warehouse = Warehouse(f"chdb://{folder / 'clickhouse'}", 1)
    catalog = load_catalog(settings.models_dir)
    limits = query_settings(settings, embedded=True)

    def compiled(payload: dict[str, Any]) -> Statement:
        asked = normalize(payload, now=datetime.now(UTC), default_time_zone="UTC").queries[0]
        return compile_query(catalog, asked, SecurityContext(frozenset({"operator"})))

    def timed(statement: Statement) -> float:
        settings_sent = with_limits(limits, statement.settings)
        began = time.perf_counter()
        warehouse.client.query(statement.sql, parameters=dict(statement.parameters), settings=settings_sent)
        return (time.perf_counter() - began) * 1000

    found = {}
    for kind, ask in (("new", question), ("light", light)):
        found[kind] = [timed(compiled(ask(number))) for number in range(2 * _ROUNDS)][_ROUNDS:]
    warehouse.close()
    return found


def _seed(folder: Path) -> None:
    """Fill the folder with a small district (in a process of its own: one process holds a folder)."""

    async def work() -> None:
        async with open_stores(Settings(data_dir=folder)) as stores:
            await asyncio.to_thread(import_source, stores.postgres.url, District(schools=2, classrooms_per_school=8))
            loader = Loader(stores.postgres, stores.warehouse, stores.settings)
            await loader.drain(3600)
            await loader.close()

    asyncio.run(work())


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server process over the folder."""
    environment = {**os.environ, "EDU_DATA_DIR": str(folder), "EDU_PORT": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api.cli", "serve"], env=environment, stderr=log)
        try:
            yield _address(folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        try:
            url = json.loads((folder / "holder.json").read_text()).get("url")
            with urllib.request.urlopen(f"{url}/health/ready", timeout=60):
                return str(url)
        except (OSError, ValueError):
            time.sleep(0.05)
    sys.exit("The server ended before it answered.")


def _report(found: Mapping[str, Any], bare: Mapping[str, Sequence[float]]) -> None:
    rows: list[tuple[object, ...]] = []
    for kind, title in _NEW.items():
        floor, times = median(bare[kind]), found[kind]
        rows.append((f"bare ClickHouse call, {title}", floor, percentile(bare[kind], 0.95), "", ""))
        rows.append((f"/load, {title}", median(times), percentile(times, 0.95), median(times) - floor, 3.0))
    repeated = found["repeated"]
    rows.append(("/load, repeated", median(repeated), percentile(repeated, 0.95), median(repeated), 1.5))
    show("One connection, ms", ["", "p50", "p95", "added by us", "bound"], rows)
    speeds: list[tuple[object, ...]] = []
    for kind, cube in _CUBE.items():
        calls = 1000 / median(bare[kind]) if kind in bare else ""
        speeds.append((_NEW.get(kind, kind), found[f"{kind}/s"], calls, cube, found[f"{kind}/s"] / cube))
    columns = ["", "ours", "bare calls/s", "Cube 1.7.43", "ratio"]
    show(f"Requests/s, {_CONNECTIONS} connections (bound 5)", columns, speeds)
    waits, answered, size = found["stalls"]
    columns = ["", "p50", "p95", "max", "the large answer", "its MB"]
    figures = [percentile(waits, 0.5), percentile(waits, 0.95), max(waits), answered, size / 1e6]
    show("/livez during answers of many rows, ms", columns, [("", *figures)])


def main() -> None:
    """Fill a folder, serve it, measure, print."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as name:
        folder = Path(name)
        seeding = multiprocessing.get_context("spawn").Process(target=_seed, args=(folder,))
        seeding.start()
        seeding.join()
        token = mint(Settings(data_dir=folder), operator(), timedelta(hours=1))
        with serving(folder) as url:
            found = asyncio.run(_measured(url, token))
        _report(found, _bare(folder))


if __name__ == "__main__":
    main()
