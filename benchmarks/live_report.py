"""How soon a live answer stands in the report: from its acknowledgement until the cubes count it.

    python -m benchmarks.live_report

The whole application in one process, both stores embedded with their real settings; a class of 30 answers within two
seconds, again and again, while the report is asked for as often as it answers.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI

from api.app import create_app, started
from api.live.service import LiveDoor
from api.principal import Principal
from api.reports.tables import load_table
from benchmarks.table import UNLIMITED, percentile, show
from core.embedded import open_stores
from core.settings import Settings
from engine.query.access import SecurityContext
from tests.realtime.guests import Guest, joined
from tests.realtime.nodes import served
from tests.realtime.world import World, build_world

BOUND_MS = 1000
PUPILS = 30
_Seen = dict[tuple[int, int], float]


async def _watch(app: FastAPI, world: World, session_id: int, seen: _Seen) -> None:
    """Ask the cubes who has answered what, and note when each answer was first told."""
    query = {
        "dimensions": ["responses.student_id", "responses.question_id"],
        "measures": ["responses.count"],
        "filters": [{"member": "responses.session_id", "operator": "equals", "values": [str(session_id)]}],
        "limit": 10_000,
    }
    attributes = {"school_id": world.school, "school_ids": [world.school], "user_id": world.admin}
    context = SecurityContext(frozenset({"admin"}), attributes | {"classroom_ids": [], "student_ids": []})
    engine = app.state.services.engine
    while True:
        rows = (await load_table(engine, query, context)).rows
        moment = time.perf_counter()
        for row in rows:
            key = int(row["responses.student_id"]), int(row["responses.question_id"])
            seen.setdefault(key, moment)
        await asyncio.sleep(0.01)


async def _answer(guest: Guest, student: int, question: int, acked: _Seen) -> None:
    await guest.expect("question_displayed", question_id=question, patience=60)
    await asyncio.sleep(random.random() * 2)
    ack = await guest.answer(question, "B")
    if ack.get("status") != "accepted":
        raise RuntimeError(str(ack))
    acked[student, question] = time.perf_counter()


async def measure(app: FastAPI, world: World) -> list[float]:
    """The milliseconds of every answer."""
    services = app.state.services
    door = services.extra["live"]
    assert isinstance(door, LiveDoor)

    def token(user: int, role: str) -> str:
        return str(services.tokens.issue(Principal(role, user, world.school), timedelta(hours=1)))

    opened = await door.hub.open_room(Principal("teacher", world.teacher, world.school), world.classroom, world.quiz)
    acked: _Seen = {}
    seen: _Seen = {}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(app))
        where = {"session_id": opened.session_id}
        teacher = await stack.enter_async_context(joined(url, token(world.teacher, "teacher"), **where))
        pupils = [await stack.enter_async_context(joined(url, token(who, "student"), **where)) for who in world.pupils]
        watching = asyncio.create_task(_watch(app, world, opened.session_id, seen))
        await teacher.send("quiz_started")
        for question in world.questions[:-2]:
            await teacher.send("question_displayed", question_id=question)
            work = zip(pupils, world.pupils, strict=True)
            await asyncio.gather(*(_answer(guest, who, question, acked) for guest, who in work))
        async with asyncio.timeout(30):
            while acked.keys() - seen.keys():
                await asyncio.sleep(0.02)
        watching.cancel()
    return [1000 * max(0.0, seen[key] - moment) for key, moment in acked.items()]


async def main(questions: int = 8) -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder:
        settings = Settings(data_dir=Path(folder), **UNLIMITED)
        async with open_stores(settings) as stores, started(create_app(stores=stores)) as app:
            world = await build_world(stores.postgres, PUPILS, questions - 1)
            lags = await measure(app, world)
    figures = [percentile(lags, share) for share in (0.5, 0.95, 0.99, 1.0)]
    columns = ["", "answers", "p50", "p95", "p99", "max", "bound"]
    show(
        "Live answer acknowledged → counted by the cubes (ms)",
        columns,
        [["a class of 30", len(lags), *figures, BOUND_MS]],
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8))
