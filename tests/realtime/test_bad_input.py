"""Whatever one person sends, he gets his frame or his close code, and the others in the room notice nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from core.clock import epoch_ms, now
from core.postgres import Postgres
from realtime.roundtrips import CREDIT_MS, RoundTrips
from tests.realtime.conftest import QUICK, Room
from tests.realtime.guests import Guest, joined
from tests.realtime.test_rules import show
from tests.realtime.world import token

Mischief = Callable[[Guest], Awaitable[None]]


def _text(text: str) -> Mischief:
    async def send(guest: Guest) -> None:
        await guest.socket.send(text)

    return send


async def _binary(guest: Guest) -> None:
    await guest.socket.send(bytes(range(256)))


async def _huge(guest: Guest) -> None:
    await guest.socket.send("x" * 10_000_000)


async def _flood(guest: Guest) -> None:
    for _ in range(1000):
        await guest.send("sync")


async def _half_open(guest: Guest) -> None:
    guest.socket.transport.pause_reading()


async def _abort(guest: Guest) -> None:
    guest.socket.transport.abort()


CASES: dict[str, tuple[Mischief, str | set[int]]] = {
    "not JSON": (_text("{"), "bad_frame"),
    "binary": (_binary, "bad_frame"),
    "an unknown command": (_text('{"event":"give_me_the_key"}'), "bad_frame"),
    "a second join": (_text('{"event":"join","token":"x"}'), "bad_frame"),
    "nested": (_text("[" * 10_000), "bad_frame"),
    "infinity": (_text('{"event":"question_extended","seconds":1e999}'), "bad_frame"),
    "10 MB": (_huge, {1009, 4013, 1006}),
    "1,000 frames at once": (_flood, {4013}),
    "cut off": (_abort, {1006}),
}


@pytest.mark.parametrize("name", CASES)
async def test_mischief_is_answered_and_nobody_else_notices(room: Room, name: str) -> None:
    mischief, expected = CASES[name]
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as good, room.pupil(1) as bad:
        await teacher.send("quiz_started")
        await show(teacher, first, good, bad)
        mark = len(good.frames)
        try:
            await mischief(bad)
        except Exception as closed:
            assert "close" in str(closed) or "1009" in str(closed), closed
        if isinstance(expected, str):
            assert (await bad.expect("error"))["code"] == expected
        else:
            assert await bad.closed() in expected
        assert (await good.answer(first, "B"))["status"] == "accepted"
        await teacher.expect("histogram", answered=1)
        assert {frame["event"] for frame in good.frames[mark:]} <= {"answer_ack", "ping"}


async def test_a_half_open_socket_is_let_go(room: Room, start_node: Any) -> None:
    limits = replace(QUICK, ping_s=0.3, pong_s=0.3)
    text = token(room.world.pupils[1], "student", room.world.school)
    async with (
        start_node(limits=limits) as node,
        room.teacher(node.url) as teacher,
        joined(node.url, text, **room.where) as silent,
    ):
        await teacher.until(lambda frame: len(frame.get("students", [])) == 1)
        await _half_open(silent)
        await teacher.expect("presence", students=[])
        silent.socket.transport.resume_reading()


async def test_a_person_has_a_few_sockets_and_the_oldest_goes(room: Room, start_node: Any) -> None:
    text = token(room.world.pupils[0], "student", room.world.school)
    async with (
        start_node(limits=replace(QUICK, sockets_each=2)) as node,
        joined(node.url, text, **room.where) as first,
        joined(node.url, text, **room.where) as second,
        joined(node.url, text, **room.where) as third,
    ):
        assert await first.closed() == 4505
        for guest in (second, third):
            await guest.send("sync", id=1)
            await guest.expect("sync", id=1)


async def test_a_question_that_is_deleted_while_it_is_shown_is_played_to_its_end(
    room: Room, postgres: Postgres
) -> None:
    first, second, _ = room.world.questions
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.send("quiz_started")
        await show(teacher, first, ann)
        await postgres.fetch("update quizzes set quiz_version = 2, deleted_at = now() where id = %s", [room.world.quiz])
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
        assert (await ann.expect("question_revealed"))["answer_key"] == "B"
        await show(teacher, second, ann)
        async with room.pupil(1) as late:
            assert late.frames[0]["state"]["question"]["question_id"] == second


async def test_a_clients_clock_and_its_own_word_of_time_count_for_nothing(room: Room, postgres: Postgres) -> None:
    first = room.world.questions[0]
    hour = 3_600_000
    async with room.teacher() as teacher, room.pupil(0) as slow, room.pupil(1) as fast:
        await teacher.send("quiz_started")
        await show(teacher, first, slow, fast, seconds=60)
        for guest, lie in ((slow, -hour), (fast, hour)):
            at = epoch_ms(now()) + lie
            ack = await guest.answer(first, "B", time_spent=0, submitted_at=at, received_ms=at, at=at)
            assert ack["status"] == "accepted" and abs(ack["received_ms"] - epoch_ms(now())) < 5000
    rows = await postgres.fetch("select time_spent_ms, submitted_at from responses")
    assert all(0 <= row["time_spent_ms"] < 10_000 for row in rows)


@pytest.mark.parametrize("held_s", [0.05, 0.3, 30])
def test_a_pong_that_is_held_back_gains_no_more_than_the_bound(held_s: float) -> None:
    trips = RoundTrips()
    for number in range(20):
        trips.ping(number, float(number) * 100)
        assert trips.pong(number, number * 100 + held_s)
    assert trips.credit_ms <= CREDIT_MS
    trips.ping(99, 5000.0)
    assert trips.pong(99, 5000.004)
    assert trips.credit_ms == pytest.approx(2, abs=0.1)


def test_a_pong_that_was_made_in_advance_or_sent_twice_counts_for_nothing() -> None:
    trips = RoundTrips()
    assert not trips.pong(7, 0)
    trips.ping(7, 1.0)
    assert not trips.pong(8, 1.0)
    assert trips.pong(7, 1.2) and not trips.pong(7, 1.2)
    assert trips.least_ms == pytest.approx(200)


async def test_held_back_pongs_of_a_real_client_gain_no_more_than_the_bound(room: Room, postgres: Postgres) -> None:
    first = room.world.questions[0]
    text = token(room.world.pupils[0], "student", room.world.school)
    async with room.teacher() as teacher, connect(room.node.url, compression=None) as cheat:
        await cheat.send(json.dumps({"token": text, **room.where}))
        frames = [json.loads(await cheat.recv())]
        while frames[-1]["event"] != "ping":
            frames.append(json.loads(await cheat.recv()))
        await asyncio.sleep(0.8)
        await cheat.send(json.dumps({"event": "pong", "nonce": frames[-1]["nonce"]}))
        await teacher.send("quiz_started")
        await show(teacher, first)
        await asyncio.sleep(0.5)
        await cheat.send(json.dumps({"event": "answer_submitted", "question_id": first, "answer": "B"}))
        while json.loads(await cheat.recv())["event"] != "answer_ack":
            pass
    (row,) = await postgres.fetch("select time_spent_ms from responses")
    assert row["time_spent_ms"] >= 500 - CREDIT_MS - 50
