"""A cut connection costs nothing: whoever comes back by offset has seen what the others saw."""

from __future__ import annotations

from typing import Any

from tests.realtime.conftest import Room
from tests.realtime.guests import Frame, Guest, joined
from tests.realtime.world import token


async def play(room: Room, teacher: Guest) -> None:
    """Two questions from beginning to end: eight events."""
    first, second, _ = room.world.questions
    await teacher.send("quiz_started")
    for question in (first, second):
        await teacher.send("question_displayed", question_id=question)
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
    await teacher.send("quiz_ended")
    await teacher.expect("quiz_ended")


async def test_the_replay_from_each_offset_is_the_uncut_run(room: Room) -> None:
    async with room.teacher() as teacher, room.pupil(0) as witness:
        await play(room, teacher)
        await witness.expect("quiz_ended")
        uncut = witness.log()
        assert len(uncut) == 8
        for off in range(9):
            async with room.pupil(1, off=off) as guest:
                frame = guest.frames[0]
                assert frame["recovered"] and frame["off"] == 8
                assert frame["log"] == uncut[off:]


async def test_a_guest_who_is_cut_off_after_each_event_misses_and_repeats_nothing(room: Room) -> None:
    first, second, _ = room.world.questions
    commands = [
        ("quiz_started", {}),
        ("question_displayed", {"question_id": first}),
        ("question_locked", {}),
        ("question_revealed", {}),
        ("question_displayed", {"question_id": second}),
        ("quiz_ended", {}),
    ]
    async with room.teacher() as teacher, room.pupil(0) as witness:
        known: list[Frame] = []
        for number, (event, fields) in enumerate(commands):
            async with room.pupil(1, off=len(known)) as restless:
                if number % 2:
                    await teacher.send(event, **fields)
                    await restless.expect(event)
            known += restless.log()
            if not number % 2:
                await teacher.send(event, **fields)
            await teacher.expect(event)
        async with room.pupil(1, off=len(known)) as restless:
            known += restless.log()
        await witness.expect("quiz_ended")
        assert known == witness.log()


async def test_the_log_outlives_the_node(room: Room, start_node: Any) -> None:
    async with room.teacher() as teacher:
        await play(room, teacher)
        uncut = teacher.log()
    async with start_node() as fresh, room.pupil(0, url=fresh.url, off=3) as guest:
        assert guest.frames[0]["log"] == uncut[3:]
        assert guest.frames[0]["state"]["phase"] == "ended"


async def test_an_offset_of_another_session_is_not_taken_for_ours(room: Room) -> None:
    text = token(room.world.pupils[0], "student", room.world.school)
    async with room.teacher() as teacher:
        await teacher.send("quiz_started")
        await teacher.expect("quiz_started")
        for where in ({"classroom_id": room.world.classroom, "off": 1}, {**room.where, "off": 99}):
            async with joined(room.node.url, text, **where) as guest:
                assert guest.frames[0]["recovered"] is False and guest.frames[0]["log"] == []
                assert guest.frames[0]["state"]["phase"] == "started"


async def test_an_answer_whose_acknowledgement_was_lost_is_found_again(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await teacher.expect("question_displayed")
        async with room.pupil(0) as ann:
            await ann.send("answer_submitted", question_id=first, answer="B")
            ann.socket.transport.abort()
        await teacher.expect("histogram", answered=1)
        async with room.pupil(0, off=2) as ann:
            assert ann.frames[0]["state"]["answered"] == [first]
            assert (await ann.answer(first, "C"))["status"] == "duplicate"
