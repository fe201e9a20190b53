"""Events over HTTP, durable: batches and single events, beside the bare COPY into the same table and a plain service.

Server, its embedded Postgres (fsync on, the table's primary key and three indexes) and the client share the machine.
The plain service is FastAPI with one SQLAlchemy insert and one commit for each event, over the same table.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from api.cli.client import mint
from api.principal import Principal
from benchmarks.http import serving
from benchmarks.table import UNLIMITED, percentile, show
from core.clock import now
from core.embedded import open_stores
from core.ids import derived_id
from core.postgres import connect
from core.postgres_server import PostgresServer
from core.settings import Settings
from ingestion.importers import import_source
from ingestion.importers.district import District
from ingestion.staging import EVENT_COLUMNS

_BATCH, _SENDERS = 1_000, 8
_EVENTS, _COPIED = 100_000, 100_000
_SINGLE_SECONDS = 4.0
_SINGLE_CONNECTIONS = 64
_BOUND_RATIO, _BOUND_BATCHED, _BOUND_SINGLE, _BOUND_P95 = 0.6, 30_000, 2_500, 100.0


class Place:
    """The school that the events are about."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        def ids(query: str) -> list[int]:
            return [row["id"] for row in connection.execute(query)]

        self.school = ids("select min(id) as id from schools")[0]
        self.admin = ids(f"select id from users where school_id = {self.school} and role in ('admin', 'teacher')")[0]
        self.students = ids(f"select id from users where school_id = {self.school} and role = 'student' limit 500")
        self.rooms = ids(f"select id from classrooms where school_id = {self.school}")
        self.quiz, self.question = ids("select quiz_id as id from quiz_questions order by id limit 1")[0], 0
        self.question = ids(f"select question_id as id from quiz_questions where quiz_id = {self.quiz} limit 1")[0]

    def event(self, number: int, run: str) -> str:
        """An answer as a tablet reports it."""
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        student = self.students[number % len(self.students)]
        return (
            f'{{"event_name":"answer_submitted","app":"notebook","user_id":{student},'
            f'"classroom_id":{self.rooms[number % len(self.rooms)]},"quiz_id":{self.quiz},'
            f'"metadata":{{"question_id":{self.question},"answer":"B","time_spent":{number % 100}.5,'
            f'"attempt_number":1}},"timestamp":"{moment}","client_id":"{run}-{number}"}}'
        )

    def copy_line(self, number: int, run: str) -> bytes:
        """The same event as a line of COPY."""
        moment = now()
        props = json.dumps({"question_id": self.question, "answer": "B", "time_spent": 38.5, "attempt_number": 1})
        values = (
            derived_id(moment, self.school, f"{run}-{number}"), self.school,
            self.students[number % len(self.students)], self.rooms[number % len(self.rooms)], self.quiz, "\\N",
            self.question, "answer_submitted", 1, "notebook", moment.isoformat(), f"{run}-{number}", props,
        )  # fmt: skip
        return ("\t".join(map(str, values)) + "\n").encode()


class Sender:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, request: bytes) -> bytes:
        """The body of the answer; anything but 200 to 202 ends the benchmark."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        body = await self._reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        if b" 20" not in head[:13]:
            sys.exit(f"refused: {body[:300]!r}")
        return body


async def _senders(url: str, number: int) -> list[Sender]:
    port = urlsplit(url).port
    return [Sender(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)) for _ in range(number)]


def _request(path: str, token: str, body: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def _batched(url: str, token: str, place: Place, run: str, batch: int, path: str = "/api/v1/events") -> float:
    """Events a second, each request holding `batch` of them."""
    requests = [
        _request(path, token, "[" + ",".join(place.event(n, run) for n in range(start, start + batch)) + "]")
        for start in range(0, _EVENTS, batch)
    ]
    senders = await _senders(url, _SENDERS)
    await senders[0].send(_request(path, token, "[" + place.event(0, run + "w") + "]"))
    began = time.perf_counter()

    async def work(sender: Sender) -> None:
        while requests:
            answer = json.loads(await sender.send(requests.pop()))["data"]
            if answer["accepted"] != batch:
                sys.exit(f"not all were accepted: {str(answer)[:300]}")

    await asyncio.gather(*map(work, senders))
    return _EVENTS / (time.perf_counter() - began)


async def _singles(url: str, path: str, token: str, place: Place, run: str) -> tuple[float, float, float]:
    """Requests a second of as many senders as there are; p50 and p95 in ms at 80 % of that."""
    senders = await _senders(url, _SINGLE_CONNECTIONS)
    numbers = iter(range(10**9))
    end = time.perf_counter() + _SINGLE_SECONDS

    async def flood(sender: Sender) -> int:
        done = 0
        while time.perf_counter() < end:
            await sender.send(_request(path, token, place.event(next(numbers), run)))
            done += 1
        return done

    rate = sum(await asyncio.gather(*map(flood, senders))) / _SINGLE_SECONDS
    times: list[float] = []
    pause, began = len(senders) / (0.8 * rate), time.perf_counter()

    async def paced(number: int, sender: Sender) -> None:
        due = began + pause * number / len(senders)
        while due < began + _SINGLE_SECONDS:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await sender.send(_request(path, token, place.event(next(numbers), run)))
            times.append((time.perf_counter() - due) * 1000)
            due += pause

    await asyncio.gather(*(paced(number, sender) for number, sender in enumerate(senders)))
    return rate, percentile(times, 0.5), percentile(times, 0.95)


def _copy(url: str, place: Place, run: str) -> float:
    """Rows a second of COPY from ready bytes, a commit for each batch of 5,000."""
    lines = [place.copy_line(number, run) for number in range(_COPIED)]
    blocks = [b"".join(lines[start : start + 5_000]) for start in range(0, _COPIED, 5_000)]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        for block in blocks:
            with cursor.copy(f"copy events ({', '.join(EVENT_COLUMNS)}) from stdin") as copy:
                copy.write(block)
            connection.commit()
        return _COPIED / (time.perf_counter() - began)


@contextmanager
def _plain_service(url: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.plain_service", url, str(port)])
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _seed(folder: Path) -> None:
    async def work() -> None:
        async with open_stores(Settings(data_dir=folder)) as stores:
            await asyncio.to_thread(import_source, stores.postgres.url, District(schools=1, classrooms_per_school=8))

    asyncio.run(work())


def _measured(folder: Path, url: str) -> list[tuple[object, ...]]:
    record = PostgresServer(folder / "postgres").url
    with connect(record) as connection:
        place = Place(connection)
    who = Principal(role="admin", user_id=place.admin, school_id=place.school)
    token = mint(Settings(data_dir=folder), who, timedelta(hours=1))
    copied = _copy(record, place, "copy")
    rows: list[tuple[object, ...]] = [("bare COPY, 5,000 a commit", copied, "", "", "", "")]
    for batch in (5_000, _BATCH, 100):
        rate = asyncio.run(_batched(url, token, place, f"b{batch}", batch))
        rows.append((f"POST /events, {batch:,} a request", rate, rate / copied, _BOUND_RATIO, "", ""))
    single = asyncio.run(_singles(url, "/api/v1/events", token, place, "s"))
    with _plain_service(record) as plain_url:
        plain = asyncio.run(_singles(plain_url, "/events", token, place, "p"))
    rows.append(("POST /events, single", single[0], single[0] / plain[0], _BOUND_SINGLE, *single[1:]))
    rows.append(("FastAPI + SQLAlchemy, single", plain[0], 1.0, "", *plain[1:]))
    return rows


def main() -> None:
    """Fill a folder, serve it, measure, print."""
    os.environ |= {f"EDU_{name.upper()}": str(value) for name, value in UNLIMITED.items()}
    os.environ |= {"EDU_LOG_LEVEL": "warning", "EDU_LOADER": "false"}
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as name:
        folder = Path(name)
        seeding = multiprocessing.get_context("spawn").Process(target=_seed, args=(folder,))
        seeding.start()
        seeding.join()
        with serving(folder) as url:
            rows = _measured(folder, url)
    show("Accepting events, durable", ["", "a second", "ratio", "bound", "p50 ms at 80 %", "p95"], rows)


if __name__ == "__main__":
    main()
