"""A whole live quiz over real sockets: a teacher, pupils, the record."""

from __future__ import annotations

import asyncio

import psycopg

from core.postgres import Postgres
from tests.realtime.conftest import Room
from tests.realtime.guests import joined
from tests.realtime.world import token


async def test_a_quiz_runs_from_the_lobby_to_its_end_and_everybody_sees_the_same(room: Room) -> None:
    first, second, _ = room.world.questions
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started", quiz_id=room.world.quiz)
        await teacher.send("question_displayed", question_id=first)
        shown = await ann.expect("question_displayed")
        assert shown["question_text"] == "2 + 2 = ?"
        assert shown["options"] == [
            {"key": "A", "text": "three"},
            {"key": "B", "text": "four"},
            {"key": "C", "text": "five"},
        ]
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        await ben.expect("question_displayed")
        assert (await ben.answer(first, "A"))["status"] == "accepted"
        seen = await teacher.expect("histogram", answered=2)
        assert (seen["counts"], seen["of"]) == ({"A": 1, "B": 1}, 3)
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
        revealed = await ben.expect("question_revealed")
        assert (revealed["answer_key"], revealed["histogram"], revealed["answered"]) == ("B", {"A": 1, "B": 1}, 2)
        await teacher.send("question_displayed", question_id=second)
        await ann.expect("question_displayed", question_id=second)
        await teacher.send("quiz_ended")
        for guest in (teacher, ann, ben):
            await guest.expect("quiz_ended")
        assert ann.log() == ben.log() == teacher.log()
        assert [frame["off"] for frame in ann.log()] == list(range(1, 8))
        assert "histogram" not in ann.events() and "presence" not in ann.events()


async def test_an_accepted_answer_stands_in_the_record_with_the_servers_grade(room: Room, postgres: Postgres) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        for guest, choice in ((ann, "B"), (ben, "A")):
            await guest.expect("question_displayed")
            await guest.answer(first, choice, correct=True, user_id=room.world.pupils[2], metadata={"time_spent": 9999})
    rows = await postgres.fetch(
        "select student_id, choice, correct, session_id, time_spent_ms from responses order by 1"
    )
    assert [(row["student_id"], row["choice"], row["correct"], row["session_id"]) for row in rows] == [
        (room.world.pupils[0], "B", True, room.opened.session_id),
        (room.world.pupils[1], "A", False, room.opened.session_id),
    ]
    assert all(row["time_spent_ms"] < 5000 for row in rows)
    events = await postgres.fetch(
        "select event_name, user_id, props from events where event_name = 'answer_submitted' order by user_id"
    )
    assert [(event["event_name"], event["props"]["correct"]) for event in events] == [
        ("answer_submitted", True),
        ("answer_submitted", False),
    ]


async def test_one_answer_a_pupil_counts_however_often_and_from_wherever_it_is_sent(
    room: Room, postgres: Postgres
) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as tablet, room.pupil(0) as phone:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await tablet.expect("question_displayed")
        await phone.expect("question_displayed")
        acks = await asyncio.gather(tablet.answer(first, "B"), phone.answer(first, "C"))
        assert sorted(ack["status"] for ack in acks) == ["accepted", "duplicate"]
        assert (await tablet.answer(first, "A"))["status"] == "duplicate"
        await teacher.expect("histogram", answered=1)
    assert len(await postgres.fetch("select choice from responses")) == 1


async def test_a_question_with_seconds_locks_itself_and_a_late_answer_does_not_count(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first, seconds=0.3)
        shown = await ann.expect("question_displayed")
        assert shown["closes_at"] - shown["opens_at"] == 300
        locked = await ann.expect("question_locked")
        assert locked["at"] >= shown["closes_at"] + 250
        assert (await ann.answer(first, "B"))["status"] == "locked"


async def test_a_late_joiner_gets_the_whole_room_in_one_frame(room: Room) -> None:
    first, second, _ = room.world.questions
    async with room.teacher() as teacher, room.pupil(0) as ann:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await ann.expect("question_displayed")
        await ann.answer(first, "B")
        await teacher.send("question_displayed", question_id=second, seconds=600)
        shown = await ann.expect("question_displayed")
        async with room.pupil(0) as again:
            state = again.frames[0]["state"]
            assert state["phase"] == "question" and state["question"] == shown
            assert state["answered"] == [first] and state["revealed"] is None
            assert state["started"]["title"] == "Numbers"


async def test_the_teacher_sees_who_is_here_and_a_blink_of_the_network_does_not_flicker(room: Room) -> None:
    names = ["Pupil 000", "Pupil 001"]
    async with room.teacher() as teacher, room.pupil(0):
        async with room.pupil(1):
            await teacher.until(lambda frame: [p["name"] for p in frame.get("students", [])] == names, "both")
        mark = len(teacher.frames)
        async with room.pupil(1):
            await asyncio.sleep(0.5)
            later = [frame for frame in teacher.frames[mark:] if frame.get("event") == "presence"]
            assert all(len(frame["students"]) == 2 for frame in later)
        await teacher.until(lambda frame: [p["name"] for p in frame.get("students", [])] == names[:1], "one")


async def test_state_frames_come_at_most_four_times_a_second(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben, room.pupil(2) as cyd:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        mark = len(teacher.frames)
        for guest in (ann, ben, cyd):
            await guest.expect("question_displayed")
            await guest.answer(first, "B")
        await teacher.expect("histogram", answered=3)
        assert [frame["event"] for frame in teacher.frames[mark:]].count("histogram") <= 3


async def test_a_class_finds_its_room_by_classroom_by_code_or_in_the_designs_own_words(room: Room) -> None:
    text = token(room.world.pupils[0], "student", room.world.school)
    for where in (
        {"classroom_id": room.world.classroom},
        {"join_code": room.opened.join_code.lower()},
        {"classroom_id": room.world.classroom, "user_id": 101},
    ):
        async with joined(room.node.url, text, **where) as guest:
            assert guest.frames[0]["session_id"] == room.opened.session_id
            assert guest.frames[0]["user_id"] == room.world.pupils[0]


async def test_times_of_the_sitting_are_kept_in_the_record(room: Room, postgres: Postgres) -> None:
    async with room.teacher() as teacher:
        await teacher.send("quiz_started")
        await teacher.send("quiz_ended")
        await teacher.expect("quiz_ended")
    row = await postgres.fetch_one("select * from quiz_sessions where id = %s", [room.opened.session_id])
    assert row and row["mode"] == "live" and row["opened_at"] <= row["started_at"] <= row["ended_at"]


async def test_when_postgres_drops_its_connections_the_room_stays_and_an_answer_sent_again_counts_once(
    room: Room, postgres: Postgres
) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=first)
        await ann.expect("question_displayed")
        with psycopg.connect(postgres.url, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        replies = [await ann.answer(first, "B")]
        while "status" not in replies[-1]:
            assert (replies[-1]["code"], replies[-1]["temporary"]) == ("unavailable", True)
            replies.append(await ann.answer(first, "B"))
        assert replies[-1]["status"] in {"accepted", "duplicate"} and len(replies) > 1
    assert len(await postgres.fetch("select choice from responses")) == 1
