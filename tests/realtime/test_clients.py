"""Our own clients against a real server: they come back, miss nothing, and read the server's clock."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.postgres import Postgres
from realtime.client import LiveClient, Refused, StayedAway
from tests.realtime.conftest import QUICK, Room
from tests.realtime.guests import Frame, Guest
from tests.realtime.nodes import running_node
from tests.realtime.proxy import Proxy
from tests.realtime.world import token

_SCRIPT = Path(__file__).with_name("live_client.mjs")


async def _drive(room: Room, teacher: Guest, proxy: Any) -> None:
    """A whole quiz; every connection of the clients is cut after each event."""
    for question in room.world.questions:
        for event, fields in (
            ("question_displayed", {"question_id": question}),
            ("question_locked", {}),
            ("question_revealed", {}),
        ):
            await teacher.send(event, **fields)
            await teacher.expect(event)
            await asyncio.sleep(0.15)
            proxy.cut()
            await asyncio.sleep(0.35)
    await teacher.send("quiz_ended")
    await teacher.expect("quiz_ended")


async def test_the_python_client_misses_and_repeats_nothing_however_often_it_is_cut_off(room: Room) -> None:
    world = room.world
    heard: list[Frame] = []

    async def listen(quiz: LiveClient) -> None:
        async for frame in quiz.frames():
            if "off" in frame and frame["event"] != "joined":
                heard.append(frame)
            if frame["event"] == "quiz_ended":
                return

    async with Proxy(room.node.url) as proxy, room.teacher() as teacher:
        text = token(world.pupils[0], "student", world.school)
        async with LiveClient(proxy.url, text, join_code=room.opened.join_code) as quiz:
            listening = asyncio.create_task(listen(quiz))
            while quiz.joined is None:
                await asyncio.sleep(0.02)
            await teacher.send("quiz_started")
            await teacher.expect("quiz_started")
            await _drive(room, teacher, proxy)
            await asyncio.wait_for(listening, 20)
            assert quiz.reconnects >= 3
            assert abs(quiz.now_ms() - (await quiz.ask("sync"))["server_ms"]) < 1000
            with pytest.raises(Refused):
                await quiz.ask("quiz_ended")
        assert heard == teacher.log()


async def test_an_answer_that_was_cut_off_is_sent_again_and_counts_once(room: Room, postgres: Postgres) -> None:
    world = room.world
    async with Proxy(room.node.url) as proxy, room.teacher() as teacher:
        text = token(world.pupils[0], "student", world.school)
        async with LiveClient(proxy.url, text, session_id=room.opened.session_id) as quiz:
            await teacher.send("quiz_started")
            await teacher.send("question_displayed", question_id=world.questions[0])
            await teacher.expect("question_displayed")
            while quiz.joined is None:
                await asyncio.sleep(0.02)
            answering = asyncio.create_task(quiz.answer(world.questions[0], "B"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            proxy.cut()
            assert (await asyncio.wait_for(answering, 20))["status"] in {"accepted", "duplicate"}
    assert len(await postgres.fetch("select choice from responses")) == 1


@pytest.mark.parametrize("off", [0, 1, 2])
async def test_the_python_client_reads_the_log_from_where_it_is_told(room: Room, off: int) -> None:
    world = room.world
    text = token(world.pupils[0], "student", world.school)
    async with room.teacher() as teacher:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=world.questions[0])
        await teacher.expect("question_displayed")
        async with LiveClient(room.node.url, text, session_id=room.opened.session_id, off=off) as quiz:
            heard: list[Frame] = []
            async with asyncio.timeout(10):
                async for frame in quiz.frames():
                    if frame["event"] == "joined":
                        await teacher.send("quiz_ended")
                    elif "off" in frame:
                        heard.append(frame)
                    if frame["event"] == "quiz_ended":
                        break
            await teacher.expect("quiz_ended")
            assert (heard, quiz.reconnects) == (teacher.log()[off:], 0)


async def test_the_python_client_stays_away_when_it_is_told_to(room: Room) -> None:
    async with LiveClient(room.node.url, "no token", session_id=room.opened.session_id) as quiz:
        with pytest.raises(StayedAway, match="4500"):
            async for _ in quiz.frames():
                pass


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_the_browsers_client_misses_and_repeats_nothing_and_answers_once(room: Room, postgres: Postgres) -> None:
    world = room.world
    async with Proxy(room.node.url) as proxy, room.teacher() as teacher:
        told = {
            "url": proxy.url,
            "token": token(world.pupils[0], "student", world.school),
            "where": {"join_code": room.opened.join_code},
        }
        node = await asyncio.create_subprocess_exec(
            "node", "--no-warnings", "--experimental-websocket", str(_SCRIPT), json.dumps(told),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await teacher.until(lambda frame: len(frame.get("students", [])) == 1, "the pupil", 20)
        await teacher.send("quiz_started")
        await teacher.expect("quiz_started")
        await _drive(room, teacher, proxy)
        out, _ = await asyncio.wait_for(node.communicate(), 30)
        found = json.loads(out)
        assert found["log"] == teacher.log()
        assert found["away"] >= 3 and abs(found["clock"]) < 1000
        assert found["acks"] and set(found["acks"]) <= {"accepted", "duplicate", "locked"}
    rows = await postgres.fetch("select question_id, count(*) as n from responses group by 1")
    assert all(row["n"] == 1 for row in rows)


async def test_a_server_that_is_gone_and_back_is_found_again(postgres: Postgres, room: Room) -> None:
    world = room.world
    text = token(world.pupils[0], "student", world.school)
    async with (
        Proxy(room.node.url) as proxy,
        LiveClient(proxy.url, text, session_id=room.opened.session_id) as quiz,
        running_node(postgres, limits=QUICK) as second,
        room.teacher(second.url) as teacher,
    ):
        while quiz.joined is None:
            await asyncio.sleep(0.02)
        proxy.lead_to(second.url)
        proxy.cut()
        await teacher.send("quiz_started")
        async with asyncio.timeout(20):
            async for frame in quiz.frames():
                if frame["event"] == "quiz_started":
                    break
