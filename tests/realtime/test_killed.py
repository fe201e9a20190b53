"""A server is killed in the middle of a question: nothing that was acknowledged is lost, and time goes on."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from core.postgres import Postgres
from realtime.client import LiveClient
from tests.realtime.conftest import QUICK, Room, open_room
from tests.realtime.lone_node import lone_node
from tests.realtime.nodes import Node, running_node
from tests.realtime.proxy import Proxy
from tests.realtime.world import World, token

MANY = replace(QUICK, sockets_each=1000)


@pytest.mark.parametrize("changes", [False, True])
async def test_a_killed_server_loses_nothing_and_the_time_that_is_left_is_right(
    world: World, node: Node, postgres: Postgres, changes: bool
) -> None:
    room = await open_room(world, node, changes=changes)
    first = world.questions[0]
    async with lone_node(postgres.url) as (process, url):
        async with room.teacher(url) as teacher, room.pupil(0, url) as ann, room.pupil(1, url) as ben:
            await teacher.send("quiz_started")
            await teacher.send("question_displayed", question_id=first, seconds=3)
            shown = await ann.expect("question_displayed")
            await ben.expect("question_displayed")
            assert (await ann.answer(first, "B", key="k"))["status"] == "accepted"
            process.kill()
            await ann.closed()
        async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1, off=2) as ben:
            state = ann.frames[0]["state"]
            assert (state["question"], state["answered"]) == (shown, [first])
            assert ben.frames[0]["recovered"] and ben.frames[0]["log"] == []
            assert (await ann.answer(first, "B", key="k"))["status"] == "duplicate"
            assert (await ben.answer(first, "A"))["status"] == "accepted"
            locked = await ben.expect("question_locked")
            assert shown["closes_at"] + 250 <= locked["at"] < shown["closes_at"] + 2000
            await teacher.send("question_revealed")
            revealed = await ben.expect("question_revealed")
            assert revealed["histogram"] == {"A": 1, "B": 1}
    async with asyncio.timeout(10):
        while len(rows := await postgres.fetch("select student_id, choice from responses order by 1")) < 2:
            await asyncio.sleep(0.1)
        assert [row["choice"] for row in rows] == ["B", "A"]
        while await postgres.fetch("select 1 from live_answers"):
            await asyncio.sleep(0.1)


async def test_what_is_overdue_is_locked_and_settled_although_nobody_is_in_the_room(
    world: World, node: Node, postgres: Postgres
) -> None:
    room = await open_room(world, node, changes=True)
    first = world.questions[0]
    async with lone_node(postgres.url) as (process, url), room.teacher(url) as teacher, room.pupil(0, url) as ann:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first, seconds=0.8)
        await ann.expect("question_displayed")
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        process.kill()
        await ann.closed()
    async with asyncio.timeout(10):
        while not await postgres.fetch("select choice from responses"):
            await asyncio.sleep(0.1)
    locks = await postgres.fetch("select frame from live_log where frame ->> 'event' = 'question_locked'")
    assert len(locks) == 1


async def test_a_question_is_locked_once_however_many_nodes_see_that_its_time_is_up(
    room: Room, postgres: Postgres, start_node: Any
) -> None:
    async with (
        start_node(limits=QUICK) as second,
        start_node(limits=QUICK) as third,
        room.teacher() as teacher,
        room.pupil(0, second.url) as ann,
        room.pupil(1, third.url) as ben,
    ):
        await teacher.send("quiz_started")
        for question in room.world.questions:
            await teacher.send("question_displayed", question_id=question, seconds=0.5)
            for guest in (teacher, ann, ben):
                await guest.expect("question_locked", question_id=question)
        assert ann.log() == ben.log() == teacher.log()
    assert [frame["off"] for frame in ann.log()] == list(range(1, 8))


async def test_a_server_that_drains_sends_everybody_elsewhere_and_they_come(room: Room, postgres: Postgres) -> None:
    world = room.world
    text = token(world.pupils[0], "student", world.school)
    async with (
        lone_node(postgres.url) as (process, url),
        Proxy(url) as proxy,
        room.pupil(1, url) as ben,
        LiveClient(proxy.url, text, session_id=room.opened.session_id) as quiz,
        room.teacher() as teacher,
    ):
        while quiz.joined is None:
            await asyncio.sleep(0.02)
        proxy.lead_to(room.node.url)
        process.send_signal(signal.SIGTERM)
        assert await ben.closed() == 4011
        assert (ben.socket.close_reason or "").startswith("retry_ms=")
        assert await asyncio.wait_for(process.wait(), 15) == 0
        await teacher.send("quiz_started")
        async with asyncio.timeout(20):
            async for frame in quiz.frames():
                if frame["event"] == "quiz_started":
                    break
        assert quiz.reconnects == 1


async def test_a_thousand_come_back_in_a_second(world: World, node: Node, postgres: Postgres) -> None:
    room = await open_room(world, node)
    async with room.teacher() as teacher, running_node(postgres, limits=MANY) as other:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=world.questions[0], seconds=600)
        shown = await teacher.expect("question_displayed")
        texts = [token(pupil, "student", world.school) for pupil in world.pupils]
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(
            *(_come(other.url, texts[number % 3], room, number / 1000) for number in range(1000))
        )
        took = asyncio.get_running_loop().time() - began
        assert all(frame["state"]["question"] == shown and frame["recovered"] for frame in found)
        assert took < 60
        async with room.pupil(0, other.url) as ann:
            assert (await ann.answer(world.questions[0], "B"))["status"] == "accepted"


async def _come(url: str, text: str, room: Room, delay: float) -> Any:
    await asyncio.sleep(delay)
    async with connect(url, compression=None, open_timeout=60) as socket:
        await socket.send(json.dumps({"token": text, "session_id": room.opened.session_id, "off": 1}))
        while True:
            frame = json.loads(await socket.recv())
            if frame["event"] == "joined":
                return frame
