"""Live quizzes: how soon a class sees a question, and how soon a pupil's answer is acknowledged (after its commit).

    python -m benchmarks.live --rooms 10 --pupils 30 --questions 5

One server process (uvicorn, websockets-sansio, real Postgres with fsync), all clients in another; loopback.
Fan-out: from the teacher's command to a pupil's frame. Answer: from a pupil's frame to its acknowledgement, all
pupils of all rooms answering at once. Times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.table import percentile, show
from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from realtime.pacing import Limits
from tests.realtime.nodes import running_node
from tests.realtime.world import World, build_world, token

BOUND_MS = 50
"""What the design allows a live message."""


async def serve(url: str, pipe: Connection) -> None:
    """A node in its own process, until the pipe says stop."""
    postgres = Postgres(url, 10)
    await postgres.open()
    async with running_node(postgres, limits=Limits()) as node:
        pipe.send(node.url)
        while not pipe.poll():
            await asyncio.sleep(0.1)
        pipe.send(resident_mb())
    await postgres.close()


def resident_mb() -> float:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def server_process(url: str, pipe: Connection) -> None:
    """The entry of the server process."""
    uvloop.run(serve(url, pipe))


class Class:
    """One room with its sockets."""

    def __init__(self, world: World, session_id: int) -> None:
        self.world = world
        self.session_id = session_id
        self.pupils: list[ClientConnection] = []

    async def enter(self, stack: AsyncExitStack, url: str) -> None:
        """Everybody joins."""
        school = self.world.school
        self.teacher = await self._join(stack, url, token(self.world.teacher, "teacher", school, 60))
        texts = [token(pupil, "student", school, 60) for pupil in self.world.pupils]
        self.pupils = [await self._join(stack, url, text) for text in texts]

    async def _join(self, stack: AsyncExitStack, url: str, text: str) -> ClientConnection:
        socket = await stack.enter_async_context(connect(url, compression=None))
        await socket.send(json.dumps({"token": text, "session_id": self.session_id}))
        await until(socket, "joined")
        return socket

    async def show(self, question_id: int) -> list[float]:
        """The teacher shows a question; when each pupil has it."""
        began = time.perf_counter()
        await self.teacher.send(json.dumps({"event": "question_displayed", "question_id": question_id}))
        return list(await asyncio.gather(*(self._seen(pupil, began) for pupil in self.pupils)))

    async def _seen(self, pupil: ClientConnection, began: float) -> float:
        await until(pupil, "question_displayed")
        return time.perf_counter() - began

    async def answer(self, question_id: int) -> list[float]:
        """All pupils answer at once; when each is acknowledged."""
        return list(await asyncio.gather(*(self._acknowledged(pupil, question_id) for pupil in self.pupils)))

    async def _acknowledged(self, pupil: ClientConnection, question_id: int) -> float:
        began = time.perf_counter()
        await pupil.send(json.dumps({"event": "answer_submitted", "question_id": question_id, "answer": "B"}))
        ack = await until(pupil, "answer_ack")
        if ack["status"] != "accepted":
            raise RuntimeError(f"not accepted: {ack}")
        return time.perf_counter() - began


async def until(socket: ClientConnection, event: str) -> dict[str, Any]:
    """The next frame of this event."""
    while True:
        frame: dict[str, Any] = json.loads(await socket.recv())
        if frame.get("event") == event:
            return frame
        if frame.get("event") == "error":
            raise RuntimeError(str(frame))


async def measure(url: str, postgres_url: str, rooms: int, pupils: int, questions: int) -> dict[str, list[float]]:
    """Run the quizzes; the times in seconds."""
    postgres = Postgres(postgres_url, 4)
    await postgres.open()
    times: dict[str, list[float]] = {"fan-out, one room": [], "fan-out, all rooms at once": [], "answer": []}
    async with AsyncExitStack() as stack:
        classes = [await _class(postgres, pupils, questions) for _ in range(rooms)]
        for one in classes:
            await one.enter(stack, url)
            await one.teacher.send(json.dumps({"event": "quiz_started"}))
        for number in range(questions):
            for shown in await asyncio.gather(*(one.show(one.world.questions[number]) for one in classes)):
                times["fan-out, all rooms at once"] += shown
            for answered in await asyncio.gather(*(one.answer(one.world.questions[number]) for one in classes)):
                times["answer"] += answered
        for one in classes:
            times["fan-out, one room"] += await one.show(one.world.questions[questions])
    await postgres.close()
    return times


async def _class(postgres: Postgres, pupils: int, questions: int) -> Class:
    world = await build_world(postgres, pupils, questions + 1)
    row = await postgres.fetch_one(
        "with s as (insert into quiz_sessions (school_id, classroom_id, quiz_id, mode)"
        " values (%s, %s, %s, 'live') returning id)"
        " insert into live_sessions (session_id, join_code, state) select id, id::text, '{}' from s"
        " returning session_id",
        [world.school, world.classroom, world.quiz],
    )
    if row is None:
        raise RuntimeError("no session")
    return Class(world, row["session_id"])


def report(times: dict[str, list[float]]) -> list[list[object]]:
    """A row for each kind of time: how many, p50, p95, p99, and p95 beside the bound of the design."""
    return [
        [name, len(values), *(percentile(values, share) * 1000 for share in (0.5, 0.95, 0.99)), BOUND_MS]
        for name, values in times.items()
    ]


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rooms", 10), ("pupils", 30), ("questions", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="edu-bench-"))
    server = PostgresServer(folder / "postgres")
    url = server.start()
    try:
        migrate(url)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        node = multiprocessing.get_context("spawn").Process(target=server_process, args=(url, theirs))
        node.start()
        address = ours.recv()
        times = asyncio.run(measure(address, url, wanted.rooms, wanted.pupils, wanted.questions))
        ours.send("stop")
        title = f"{wanted.rooms} rooms x {wanted.pupils} pupils; server {ours.recv():.0f} MB resident"
        node.join()
        show(title, ("milliseconds", "n", "p50", "p95", "p99", "bound"), report(times))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
