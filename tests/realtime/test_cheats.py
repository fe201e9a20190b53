"""What must not work: other people's names, other people's rooms, other times, other roles."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from core.postgres import Postgres
from realtime.pacing import Limits
from tests.realtime.conftest import Room
from tests.realtime.guests import joined, visiting
from tests.realtime.world import KEYS, token


async def _refused(room: Room, text: str, **where: Any) -> tuple[str, int | None]:
    async with visiting(room.node.url) as guest:
        await guest.send("join", token=text, **(where or room.where))
        error = await guest.expect("error")
        return error["code"], await guest.closed()


async def test_only_the_classrooms_own_people_get_in(room: Room) -> None:
    world = room.world
    for user, role, school in (
        (world.outsider, "student", world.school),
        (world.other_teacher, "teacher", world.school),
        (world.foreign_admin, "admin", world.school + 1),
    ):
        for where in (room.where, {"join_code": room.opened.join_code}, {"classroom_id": world.classroom}):
            assert await _refused(room, token(user, role, school), **where) == ("not_admitted", 4503)
    assert await _refused(room, token(world.pupils[0], "student", world.school), session_id=999) == (
        "not_admitted",
        4503,
    )


async def test_a_co_teacher_and_an_admin_of_the_school_may_command(room: Room) -> None:
    world = room.world
    for user, role in ((world.co_teacher, "teacher"), (world.admin, "admin")):
        async with joined(room.node.url, token(user, role, world.school), **room.where) as guest:
            assert guest.frames[0]["role"] == "teacher"


async def test_a_claimed_role_school_or_user_is_worth_nothing(room: Room) -> None:
    world = room.world
    assert await _refused(room, token(world.pupils[0], "teacher", world.school)) == ("not_admitted", 4503)
    assert await _refused(room, token(world.foreign_admin, "admin", world.school)) == ("not_admitted", 4503)
    text = token(world.pupils[0], "student", world.school)
    async with joined(room.node.url, text, **room.where, user_id=world.teacher, role="teacher") as guest:
        assert (guest.frames[0]["user_id"], guest.frames[0]["role"]) == (world.pupils[0], "student")


async def test_a_bad_token_is_sent_away_for_good_and_an_expired_one_to_get_another(room: Room) -> None:
    world = room.world
    good = token(world.pupils[0], "student", world.school)
    assert await _refused(room, good[:-4] + "AAAA") == ("invalid_token", 4500)
    assert await _refused(room, "") == ("invalid_token", 4500)
    assert await _refused(room, token(world.pupils[0], "student", world.school, minutes=-1)) == ("token_expired", 4001)


async def test_a_classroom_without_a_quiz_says_come_back_later(room: Room) -> None:
    text = token(room.world.outsider, "student", room.world.school)
    assert await _refused(room, text, classroom_id=room.world.other_classroom) == ("no_session", 4404)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "no json",
        '{"event":"join"}',
        '{"token":7}',
        '{"token":"x","off":-1}',
        "[" * 15_000,
        '"' + "x" * 20_000,
    ],
)
async def test_a_first_frame_that_is_no_join_is_refused(room: Room, text: str) -> None:
    async with visiting(room.node.url) as guest:
        await guest.socket.send(text)
        assert await guest.closed() == 4507


async def test_who_says_nothing_is_sent_away(start_node: Any) -> None:
    async with start_node(limits=Limits(first_frame_s=0.2)) as node, visiting(node.url) as guest:
        assert await guest.closed(patience=2) == 4012


async def test_a_pupil_commands_nothing_and_a_teacher_answers_nothing(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil() as ann:
        for event in ("quiz_started", "question_locked", "question_revealed", "quiz_ended"):
            await ann.send(event)
            assert (await ann.expect("error"))["code"] == "forbidden"
        await ann.send("question_displayed", question_id=first)
        assert (await ann.expect("error"))["code"] == "forbidden"
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        assert (await teacher.answer(first, "B"))["code"] == "forbidden"
        assert [frame["event"] for frame in ann.log()] == ["quiz_started", "question_displayed"]


async def test_an_answer_before_the_question_after_the_lock_or_to_another_quiz_is_not_kept(
    room: Room, postgres: Postgres
) -> None:
    first, second, _ = room.world.questions
    async with room.teacher() as teacher, room.pupil() as ann:
        assert (await ann.answer(first, "B"))["code"] == "not_open"
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await ann.expect("question_displayed")
        assert (await ann.answer(second, "true"))["code"] == "not_open"
        assert (await ann.answer(10**12, "B"))["code"] == "not_open"
        assert (await ann.answer(first, "Z"))["code"] == "invalid_field"
        await teacher.send("question_locked")
        await teacher.expect("question_locked")
        assert (await ann.answer(first, "B"))["status"] == "locked"
        await teacher.send("question_displayed", question_id=second)
        await teacher.expect("question_displayed")
        assert (await ann.answer(first, "B"))["status"] == "locked"
    assert await postgres.fetch("select choice from responses") == []


async def test_nothing_that_a_pupil_is_sent_tells_the_key_before_the_reveal(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await ann.expect("question_displayed")
        right, wrong = await ann.answer(first, KEYS[0]), await ben.answer(first, "A")
        assert right.keys() == wrong.keys() and right["status"] == wrong["status"]
        await teacher.send("question_locked")
        await ann.expect("question_locked")
        async with room.pupil(2) as late:
            told = "".join([*ann.texts, *ben.texts, *late.texts])
        assert "answer_key" not in told.replace('"revealed":null', "") and "score" not in told and "correct" not in told


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", "bad_frame"),
        ("[]", "bad_frame"),
        ('{"event":"nonsense"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":"1","answer":"B"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":0,"answer":"B"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":99999999999999999999,"answer":"B"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1,"answer":{"$ne":null}}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1,"answer":"\\u0000"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1,"answer":"B","key":"\\u0000"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1,"answer":"\\ud800"}', "bad_frame"),
        ('{"event":"answer_submitted","question_id":1,"answer":"' + "x" * 4001 + '"}', "bad_frame"),
        ('{"event":"question_displayed","question_id":1,"seconds":-1}', "bad_frame"),
        ('{"event":"question_displayed","question_id":1,"seconds":1e999}', "bad_frame"),
        ("[" * 16_000, "bad_frame"),
    ],
)
async def test_a_broken_frame_is_answered_and_breaks_nothing(room: Room, frame: str, code: str) -> None:
    async with room.pupil() as ann:
        await ann.socket.send(frame)
        assert (await ann.expect("error"))["code"] == code
        await ann.send("sync", id=1)
        assert (await ann.expect("sync", id=1))["server_ms"] > 1_700_000_000_000


async def test_bytes_that_are_no_text_break_nothing(room: Room) -> None:
    async with room.pupil() as ann:
        await ann.socket.send(b"\xff\xfe")
        assert (await ann.expect("error"))["code"] == "bad_frame"
        await ann.socket.send(json.dumps({"event": "sync"}).encode())
        await ann.expect("sync")


async def test_who_sends_too_much_or_too_fast_is_cut_off_and_the_others_are_not(room: Room) -> None:
    async with room.teacher() as teacher, room.pupil(0) as fast, room.pupil(1) as fat:
        await asyncio.gather(*(fast.send("sync") for _ in range(60)))
        assert await fast.closed() == 4013
        await fat.send("sync", padding="x" * 17_000)
        assert await fat.closed() == 4013
        await teacher.send("quiz_started")
        await teacher.expect("quiz_started")


async def test_a_page_of_another_site_does_not_get_a_socket(start_node: Any, room: Room) -> None:
    async with start_node(origins=frozenset({"https://school.example"})) as node:
        host = node.url.removeprefix("ws://").removesuffix("/ws/quiz")
        for origin in ("https://evil.example", "null", f"http://{host}.evil.example"):
            with pytest.raises(InvalidStatus) as refusal:
                await connect(node.url, origin=Origin(origin))
            assert refusal.value.response.status_code == 403
        for own in (Origin("https://school.example"), Origin(f"http://{host}"), None):
            async with visiting(node.url, origin=own) as guest:
                await guest.send("join", token=token(room.world.pupils[0], "student", room.world.school), **room.where)
                await guest.expect("joined")


async def test_a_token_can_be_renewed_by_its_owner_alone_and_an_old_one_ends_the_visit(
    start_node: Any, room: Room
) -> None:
    world = room.world
    soon = token(world.pupils[0], "student", world.school, minutes=0.02)
    fresh, foreign = (token(pupil, "student", world.school) for pupil in world.pupils[:2])
    async with (
        start_node(limits=Limits(expiry_grace_s=0.3)) as node,
        joined(node.url, soon, **room.where) as lapsing,
        joined(node.url, soon, **room.where) as renewed,
        joined(node.url, soon, **room.where) as thief,
    ):
        await renewed.send("refresh", token=fresh, id=5)
        await renewed.expect("refreshed", id=5)
        await thief.send("refresh", token=foreign)
        assert await thief.closed() == 4503
        assert await lapsing.closed() == 4001
        await renewed.send("sync")
        await renewed.expect("sync")
