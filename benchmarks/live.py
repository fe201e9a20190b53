"""Live quizzes: how soon a class sees a question, how soon an answer is acknowledged, what a socket costs.

    python -m benchmarks.live              a short run: 30 rooms of 30, and one of 300
    python -m benchmarks.live --full       300 rooms of 30 (9,000 sockets), and one of 1,500

One server process (uvicorn, websockets-sansio, real Postgres with fsync), all clients in this one. Each room shows a
question every `period` seconds and its pupils answer at random moments of the first half. Fan-out: from the teacher's
command to a pupil's frame. Answer: from a pupil's frame to its acknowledgement, after the commit. Beside it in the same
run, with the same client: a bare `websockets` server and `ws` on node, which only pass frames on, and the bare server
once more with one commit in Postgres before each question, as ours must have one. Milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop

from benchmarks.live_peers import node_server
from benchmarks.live_wire import Wire
from benchmarks.table import percentile, show
from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from tests.realtime.world import token

PATIENCE_S = 60
"""How long anything may take before the run is given up; a run that stalls says where."""
_SEED = """
with school as (insert into schools (name) values ('Bench') returning id),
teacher as (insert into users (school_id, role, name) select id, 'teacher', 'T' from school returning id, school_id),
quiz as (insert into quizzes (school_id, title) select id, 'Numbers' from school returning id, school_id),
asked as (
    insert into questions (school_id, title, qtype, options, answer_key)
    select quiz.school_id, '2 + 2 = ? (' || n || ')', 'single_choice',
           '[{"key":"A","text":"three"},{"key":"B","text":"four"},{"key":"C","text":"five"}]', 'B'
    from quiz, generate_series(1, %(questions)s) n returning id),
placed as (
    insert into quiz_questions (quiz_id, quiz_version, position, question_id)
    select quiz.id, 1, row_number() over (order by asked.id), asked.id from quiz, asked returning question_id),
rooms as (
    insert into classrooms (school_id, teacher_id, name) select school_id, id, n::text
    from teacher, generate_series(1, %(rooms)s) n returning id, school_id),
pupils as (
    insert into users (school_id, role, name) select id, 'student', 'Pupil ' || n
    from school, generate_series(1, %(rooms)s * %(pupils)s) n returning id, school_id),
numbered as (select id, row_number() over () - 1 as n from pupils),
classes as (select id, school_id, row_number() over () - 1 as n from rooms),
enrolled as (
    insert into enrolments (school_id, classroom_id, user_id)
    select c.school_id, c.id, p.id from numbered p join classes c on c.n = p.n / %(pupils)s
    returning classroom_id, user_id),
sittings as (
    insert into quiz_sessions (school_id, classroom_id, quiz_id, mode)
    select rooms.school_id, rooms.id, quiz.id, 'live' from rooms, quiz returning id, classroom_id),
live as (
    insert into live_sessions (session_id, join_code, state)
    select id, 'C' || id, '{}' from sittings returning session_id)
select (select school_id from teacher) as school, (select id from teacher) as teacher,
       (select array_agg(question_id order by question_id) from placed) as questions,
       (select json_object_agg(s.id, (select array_agg(user_id) from enrolled e where e.classroom_id = s.classroom_id))
        from sittings s) as rooms
"""


@dataclass
class Times:
    """What was measured, in seconds."""

    shown: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    joined: float = 0.0
    cpu: float = 0.0
    refused: int = 0


@dataclass
class Room:
    """One class: the teacher's socket first, then its pupils'."""

    session_id: int
    people: list[tuple[int, str]]
    school: int
    wires: list[Wire] = field(default_factory=list)

    async def enter(self, url: str) -> None:
        """Everybody joins."""
        for user, role in self.people:
            wire = await Wire.connect(url)
            joined = wire.wait(b"joined")
            wire.send(json.dumps({"token": token(user, role, self.school, 120), "session_id": self.session_id}))
            await asyncio.wait_for(joined, PATIENCE_S)
            self.wires.append(wire)

    async def start(self) -> None:
        """The teacher begins."""
        await self._all_hear({"event": "quiz_started"})

    async def play(self, question_id: int, window: float, times: Times) -> None:
        """The question is shown, and all answer within the window."""
        times.shown += await self._all_hear(
            {"event": "question_displayed", "question_id": question_id, "pad": "x" * 120}
        )
        times.answered += await asyncio.gather(*(_answer(wire, question_id, window, times) for wire in self.wires[1:]))

    async def _all_hear(self, frame: dict[str, object]) -> list[float]:
        waiting = [wire.wait(str(frame["event"]).encode()) for wire in self.wires]
        began = time.perf_counter()
        self.wires[0].send(json.dumps(frame))
        moments = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
        return [moment - began for moment in moments[1:]]


async def _answer(wire: Wire, question_id: int, window: float, times: Times) -> float:
    await asyncio.sleep(random.random() * window)
    text = json.dumps({"event": "answer_submitted", "question_id": question_id, "answer": "B"})
    began = time.perf_counter()
    for _ in range(50):
        kept, refused = wire.wait(b"answer_ack"), wire.wait(b"error")
        wire.send(text)
        done, _ = await asyncio.wait([kept, refused], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"an answer was not acknowledged in {PATIENCE_S} s")
        if kept in done:
            refused.cancel()
            return kept.result() - began
        kept.cancel()
        times.refused += 1
        await asyncio.sleep(0.1)  # busy: a client sends it again, and the time runs on
    raise RuntimeError("never acknowledged")


@dataclass
class Wish:
    """How large and how long."""

    rooms: int
    pupils: int
    rounds: int
    period: float

    @property
    def sockets(self) -> int:
        """Teachers included."""
        return self.rooms * (self.pupils + 1)

    @property
    def longest_s(self) -> float:
        """When a run is given up."""
        return 120 + self.sockets / 20 + (self.rounds + 3) * self.period


async def load(url: str, wish: Wish, postgres_url: str, pid: int) -> tuple[Times, float]:
    """Play; the times, and the kilobytes that a socket cost the server."""
    postgres = Postgres(postgres_url, 2)
    await postgres.open()
    seeded = await postgres.fetch_one(_SEED, {"rooms": wish.rooms, "pupils": wish.pupils, "questions": wish.rounds + 1})
    await postgres.fetch("analyze")
    await postgres.close()
    assert seeded is not None
    people = {
        int(session): [(seeded["teacher"], "teacher"), *((user, "student") for user in users)]
        for session, users in seeded["rooms"].items()
    }
    rooms = [Room(session, who, seeded["school"]) for session, who in people.items()]
    async with asyncio.timeout(wish.longest_s):
        return await _visit(rooms, seeded["questions"], wish, url, pid)


async def _visit(rooms: list[Room], questions: list[int], wish: Wish, url: str, pid: int) -> tuple[Times, float]:
    times = Times()
    before, began = resident_kb(pid), time.perf_counter()
    gate = asyncio.Semaphore(8)
    await asyncio.gather(*(_enter(room, url, gate) for room in rooms))
    cost = (resident_kb(pid) - before) / wish.sockets
    times.joined = (time.perf_counter() - began) / wish.sockets
    _say(f"{wish.sockets:,} sockets are in, {1 / times.joined:.0f} a second")
    await asyncio.gather(*(room.start() for room in rooms))
    await asyncio.gather(*(_play(room, Times(), questions[:1], wish) for room in rooms))
    _say("one question was answered by all, to warm up")
    began, used = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*(_play(room, times, questions[1:], wish) for room in rooms))
    times.cpu = (cpu_seconds(pid) - used) / (time.perf_counter() - began)
    for room in rooms:
        for wire in room.wires:
            wire.close()
    return times, cost


def _say(text: str) -> None:
    """How far it has come: the long run takes a quarter of an hour."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def _enter(room: Room, url: str, gate: asyncio.Semaphore) -> None:
    async with gate:
        await room.enter(url)


async def _play(room: Room, times: Times, questions: list[int], wish: Wish) -> None:
    await asyncio.sleep(random.random() * wish.period)
    for question in questions:
        began = time.perf_counter()
        await room.play(question, wish.period / 2, times)
        await asyncio.sleep(max(0.0, wish.period - (time.perf_counter() - began)))


def resident_kb(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def cpu_seconds(pid: int) -> float:
    """Time that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(kind: str, postgres_url: str) -> Iterator[tuple[str, int] | None]:
    """One of the servers in a process of its own: its address and its process."""
    folder = None
    if kind == "ws (node)":
        found = node_server()
        if found is None:
            yield None
            return
        process, folder = found
    else:
        module = "benchmarks.live_node" if kind == "ours" else "benchmarks.live_peers"
        record = [] if kind == KINDS[1] else [postgres_url]
        process = subprocess.Popen([sys.executable, "-m", module, *record], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.wait()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


KINDS = ("ours", "websockets (bare)", "ws (node)", "websockets + one commit")


def measure(wish: Wish, url: str, kinds: Sequence[str] = KINDS) -> list[list[object]]:
    """A row for each server and kind of time."""
    rows: list[list[object]] = []
    for kind in kinds:
        _say(f"{kind}: {wish.rooms} x {wish.pupils}")
        with server(kind, url) as running:
            if running is None:
                rows.append([kind, "not to be had", *[""] * 8])
                continue
            times, cost = uvloop.run(load(running[0], wish, url, running[1]))
        for name, values in (("fan-out", times.shown), ("answer", times.answered)):
            found = [percentile(values, share) * 1000 for share in (0.5, 0.95, 0.99)]
            rows.append([kind, name, len(values), *found, cost, 1 / times.joined, times.cpu * 100, times.refused])
    return rows


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="9,000 sockets in 300 rooms, and one room of 1,500")
    parser.add_argument("--small", action="store_true", help="5 rooms of 30, and one of 100: does it run?")
    parser.add_argument("--only", choices=("rooms", "one"), help="only the many rooms, or only the one")
    parser.add_argument("--alone", action="store_true", help="only ours, without the bare servers")
    parser.add_argument("--rooms", type=int, help="so many rooms of 30 instead")
    wanted = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    many = Wish(300, 30, 3, 20) if wanted.full else Wish(30, 30, 3, 4)
    one = Wish(1, 1500, 3, 20) if wanted.full else Wish(1, 300, 3, 4)
    if wanted.small:
        many, one = Wish(5, 30, 2, 2), Wish(1, 100, 2, 2)
    many = replace(many, rooms=wanted.rooms or many.rooms)
    kinds = KINDS[:1] if wanted.alone else KINDS
    folder = Path(tempfile.mkdtemp(prefix="edu-bench-"))
    postgres = PostgresServer(folder / "postgres")
    url = postgres.start()
    try:
        migrate(url)
        for name, wish in (("rooms", many), ("one", one)):
            if wanted.only in (None, name):
                played = f"{wish.rooms} rooms of {wish.pupils}, a question every {wish.period:g} s"
                title = f"{played}; load of the machine {os.getloadavg()[0]:.0f}"
                columns = ("milliseconds", "", "n", "p50", "p95", "p99", "kB a socket", "joins/s", "core %", "busy")
                show(title, columns, measure(wish, url, kinds))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
