"""What a teacher may do with a question, and how a room may be played: over real sockets, seen in the record."""

from __future__ import annotations

import asyncio

import pytest

from api.principal import Principal
from core.errors import InvalidField
from core.postgres import Postgres
from realtime.protocol import Rules
from tests.realtime.conftest import Room, open_room
from tests.realtime.guests import Guest
from tests.realtime.nodes import Node
from tests.realtime.world import World


async def show(teacher: Guest, question: int, *others: Guest, **fields: float) -> None:
    """The teacher shows a question, and everybody sees it."""
    await teacher.send("question_displayed", question_id=question, **fields)
    for guest in (teacher, *others):
        await guest.expect("question_displayed", question_id=question)


async def test_a_pause_keeps_the_time_that_is_left_and_takes_no_answers(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.send("quiz_started")
        await show(teacher, first, ann, seconds=600)
        await teacher.send("question_paused")
        paused = await ann.expect("question_paused")
        assert 590_000 < paused["left_ms"] <= 600_000
        assert (await ann.answer(first, "B"))["status"] == "paused"
        async with room.pupil(1) as late:
            state = late.frames[0]["state"]
            assert (state["phase"], state["left_ms"]) == ("paused", paused["left_ms"])
            assert state["question"]["closes_at"] is None
        await teacher.send("question_extended", seconds=10)
        extended = await ann.expect("question_extended")
        assert (extended["left_ms"], extended["closes_at"]) == (paused["left_ms"] + 10_000, None)
        await asyncio.sleep(0.3)
        await teacher.send("question_resumed")
        resumed = await ann.expect("question_resumed")
        assert resumed["closes_at"] == resumed["at"] + extended["left_ms"]
        assert resumed["paused_ms"] == resumed["at"] - paused["at"] >= 300
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        async with room.pupil(1) as late:
            assert late.frames[0]["state"]["question"]["closes_at"] == resumed["closes_at"]


async def test_what_was_dropped_or_asked_anew_gives_no_points_and_nothing_is_lost(
    room: Room, postgres: Postgres
) -> None:
    first, second, _ = room.world.questions
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben)
        await ann.answer(first, "B")
        await teacher.send("question_restarted")
        again = await ben.expect("question_displayed", run=2)
        assert again["question_id"] == first
        await teacher.expect("histogram", answered=0)
        async with room.pupil(0) as late:
            assert late.frames[0]["state"]["answered"] == []
        assert (await ann.answer(first, "A"))["status"] == "accepted"
        assert (await ben.answer(first, "B"))["status"] == "accepted"
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
        revealed = await ben.expect("question_revealed")
        assert revealed["histogram"] == {"A": 1, "B": 1}
        result = await ann.expect("result")
        assert (result["correct"], result["points"], result["total"]) == (False, 0, 0)
        assert (await ben.expect("result"))["total"] == 1000
        await teacher.send("question_restarted", id=1)
        assert (await teacher.expect("error"))["code"] == "already_revealed"
        await show(teacher, second, ann, ben)
        await ann.answer(second, "true")
        await teacher.send("question_skipped")
        await ann.expect("question_skipped")
        await teacher.send("quiz_ended")
        await ann.expect("quiz_ended")
        board = await ann.expect("leaderboard")
        assert [(place["name"], place["points"]) for place in board["places"]] == [
            ("Pupil 001", 1000),
            ("Pupil 000", 0),
        ]
    rows = await postgres.fetch(
        "select question_id, student_id, attempt_number, correct from responses order by 1, 2, 3"
    )
    assert [tuple(row.values()) for row in rows] == [
        (first, room.world.pupils[0], 1, True),
        (first, room.world.pupils[0], 2, False),
        (first, room.world.pupils[1], 2, True),
        (second, room.world.pupils[0], 1, True),
    ]


async def test_whoever_comes_back_sees_the_room_and_what_he_has_answered(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        for guest in (teacher, ann):
            assert (guest.frames[0]["join_code"], guest.frames[0]["title"]) == (room.opened.join_code, "Numbers")
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben)
        assert (await ann.answer(first, "A"))["status"] == "accepted"
        for command in ("question_locked", "question_restarted"):
            async with room.pupil(0) as again, room.pupil(1) as other:
                states = [guest.frames[0]["state"] for guest in (again, other)]
            assert [(state["chosen"], state["answered"]) for state in states] == [("A", [first]), (None, [])]
            await teacher.send(command)
            await teacher.expect(command.replace("restarted", "displayed"))
        async with room.pupil(0) as again:  # asked anew: the answer to the first run is none to this one
            assert again.frames[0]["state"]["chosen"] is None


async def test_changes_count_until_the_lock_and_become_one_fact_then(
    world: World, node: Node, postgres: Postgres
) -> None:
    room = await open_room(world, node, changes=True)
    first, second, _ = world.questions
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben)
        assert (await ann.answer(first, "A", key="1"))["status"] == "accepted"
        assert (await ann.answer(first, "A", key="1"))["status"] == "duplicate"
        assert (await ann.answer(first, "B", key="2"))["status"] == "changed"
        await teacher.expect("histogram", counts={"B": 1}, answered=1)
        async with room.pupil(0) as again:
            state = again.frames[0]["state"]
            assert (state["chosen"], state["answered"]) == ("B", [first])
        assert await postgres.fetch("select choice from responses") == []
        await teacher.send("question_locked")
        await ann.expect("question_locked")
        assert (await ann.answer(first, "C"))["status"] == "locked"
        await teacher.send("question_revealed")
        assert (await ben.expect("question_revealed"))["histogram"] == {"B": 1}
        await show(teacher, second, ann, ben)
        await ben.answer(second, "true")
        await teacher.send("question_skipped")
        await teacher.expect("question_skipped")
        await teacher.send("quiz_ended", id=9)
        await teacher.expect("command_ack", id=9)
    rows = await postgres.fetch("select question_id, choice, correct from responses")
    assert [tuple(row.values()) for row in rows] == [(first, "B", True)]
    async with asyncio.timeout(5):
        while (waiting := await postgres.fetch("select question_id, set_aside_at from live_answers")) == []:
            await asyncio.sleep(0.1)
        while waiting[0]["set_aside_at"] is None:
            await asyncio.sleep(0.1)
            waiting = await postgres.fetch("select question_id, set_aside_at from live_answers")
    assert [row["question_id"] for row in waiting] == [second]


async def test_each_pupil_moves_on_alone_and_his_time_outlives_his_connection(
    world: World, node: Node, postgres: Postgres
) -> None:
    room = await open_room(world, node, mode="self_paced", seconds=600)
    first, second, third = world.questions
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben:
        await teacher.send("quiz_started")
        turn = await ann.expect("turn")
        assert (turn["question"]["question_id"], turn["done"], turn["of"]) == (first, 0, 3)
        assert turn["closes_at"] - turn["opens_at"] == 600_000
        assert (await ann.answer(second, "true"))["status"] == "locked"
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        following = await ann.until(lambda frame: frame.get("event") == "turn" and frame["done"] == 1)
        assert following["question"]["question_id"] == second
        await teacher.expect("progress", done={str(world.pupils[0]): 1})
        async with room.pupil(0) as again:
            assert again.frames[0]["state"]["turn"] == following
        await teacher.send("question_displayed", question_id=third)
        assert (await teacher.expect("error"))["code"] == "self_paced"
        for question, choice in ((second, "true"), (third, "42")):
            assert (await ann.answer(question, choice))["status"] == "accepted"
        through = await ann.until(lambda frame: frame.get("event") == "turn" and frame["done"] == 3)
        assert through["question"] is None
        assert (await ann.answer(first, "B"))["status"] == "duplicate"
        await teacher.send("quiz_ended")
        assert (await ann.expect("result"))["rank"] == 1
        assert (await ben.answer(first, "B"))["status"] == "locked"
    assert len(await postgres.fetch("select choice from responses")) == 3


async def test_a_turn_whose_time_is_up_is_followed_by_the_next(world: World, node: Node) -> None:
    room = await open_room(world, node, mode="self_paced", seconds=0.2)
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.send("quiz_started")
        await ann.until(lambda frame: frame.get("event") == "turn" and frame["question"] is None)
        assert (await ann.answer(world.questions[0], "B"))["status"] == "locked"


async def test_who_is_sent_out_stays_out_until_he_is_allowed(room: Room) -> None:
    ann_id = room.world.pupils[0]
    async with room.teacher() as teacher, room.pupil(1) as ben:
        async with room.pupil(0) as tablet, room.pupil(0) as phone:
            await teacher.send("student_kicked", user_id=ann_id)
            assert (await tablet.closed(), await phone.closed()) == (4504, 4504)
        await teacher.expect("student_kicked", user_ids=[ann_id])
        await teacher.expect("presence", kicked=[ann_id])
        await ben.send("student_allowed", user_id=ann_id, id=1)
        assert (await ben.expect("error"))["code"] == "forbidden"
        try:
            async with room.pupil(0):
                raise RuntimeError("came back")
        except AssertionError as refused:
            assert "4504" in str(refused)
        await teacher.send("student_allowed", user_id=ann_id)
        await teacher.expect("student_allowed", user_ids=[ann_id])
        await teacher.expect("presence", kicked=[])
        async with room.pupil(0) as back:
            await back.send("sync")
            await back.expect("sync")
        for stranger in (room.world.outsider, room.world.teacher, 10**9):
            await teacher.send("student_kicked", user_id=stranger, id=stranger)
            assert (await teacher.expect("error", id=stranger))["code"] == "no_such_student"


async def test_teams_are_dealt_at_the_opening_kept_and_ranked_by_their_mean(
    world: World, node: Node, postgres: Postgres
) -> None:
    first, (ann_id, ben_id, _) = world.questions[0], world.pupils
    teacher_of = Principal(role="teacher", user_id=world.teacher, school_id=world.school)
    rules = Rules(teams=("Red", "Blue"), speed=False)
    with pytest.raises(InvalidField):
        await node.hub.open_room(teacher_of, world.classroom, world.quiz, rules, {world.outsider: 0})
    chosen = {ann_id: 1, ben_id: 1}
    room = Room(world, node, await node.hub.open_room(teacher_of, world.classroom, world.quiz, rules, chosen))
    await postgres.fetch(
        "insert into enrolments (school_id, classroom_id, user_id) values (%s, %s, %s)",
        [world.school, world.classroom, world.outsider],
    )
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben, room.pupil(2) as cyd:
        assert [guest.frames[0]["team"] for guest in (teacher, ann, ben, cyd)] == [None, "Blue", "Blue", "Red"]
        assert ann.frames[0]["rules"]["teams"] == ["Red", "Blue"]
        for _ in range(2):  # he came to the class later, and to the smaller team
            async with room.somebody(world.outsider, "student") as late:
                assert late.frames[0]["team"] == "Red"
        await teacher.until(lambda frame: {"Red", "Blue"} <= {one["team"] for one in frame.get("students", ())})
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben, cyd)
        for guest, answer in ((ann, "B"), (ben, "C"), (cyd, "B")):
            await guest.answer(first, answer)
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
        board = await ann.expect("leaderboard")
    assert [tuple(place.values()) for place in board["teams"]] == [(1, "Red", 1000, 1), (2, "Blue", 500, 2)]


async def test_nicknames_are_clean_and_unique_and_stay(world: World, node: Node) -> None:
    room = await open_room(world, node, nicknames=True)
    first = world.questions[0]
    wishes = ("\u202eA\u0301da \U0001f600", "a\u0301DA", "\u200b")
    async with (
        room.teacher() as teacher,
        room.pupil(0, nickname=wishes[0]) as ann,
        room.pupil(1, nickname=wishes[1]) as ben,
        room.pupil(2, nickname=wishes[2]) as cyd,
    ):
        frame = await teacher.until(lambda frame: len(frame.get("students", [])) == 3)
        assert [person["nickname"] for person in frame["students"]] == ["Áda", "áDA 2", "Guest"]
        async with room.pupil(0, nickname="Other"):
            pass
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben, cyd)
        await ann.answer(first, "B")
        await teacher.send("question_locked")
        await teacher.send("question_revealed")
        board = await cyd.expect("leaderboard")
        assert board["places"][0]["name"] == "Áda"
        assert "Pupil" not in "".join(text for text in cyd.texts if '"joined"' not in text)


async def test_the_room_goes_on_without_its_teacher_and_another_takes_over(room: Room) -> None:
    first = room.world.questions[0]
    async with room.pupil() as ann:
        assert ann.frames[0]["state"]["host"] is False
        async with room.teacher() as teacher:
            await ann.expect("host", present=True)
            await teacher.send("quiz_started")
            await show(teacher, first, ann, seconds=600)
        await ann.expect("host", present=False)
        assert (await ann.answer(first, "B"))["status"] == "accepted"
        co = room.world.co_teacher
        async with room.somebody(co, "teacher") as other:
            assert other.frames[0]["state"]["question"]["question_id"] == first
            assert [item["question_id"] for item in other.frames[0]["questions"]] == list(room.world.questions)
            await other.send("question_locked")
            await ann.expect("question_locked")


async def test_insight_tells_the_teacher_who_waits_and_what_is_chosen_wrongly(room: Room) -> None:
    first = room.world.questions[0]
    async with room.teacher() as teacher, room.pupil(0) as ann, room.pupil(1) as ben, room.pupil(2):
        await teacher.send("quiz_started")
        await show(teacher, first, ann, ben)
        await ann.answer(first, "A")
        await ben.answer(first, "B")
        found = await teacher.expect("insight", top_wrong="A", top_wrong_count=1, waiting_count=1)
        assert found["waiting"] == [room.world.pupils[2]]
        assert "insight" not in ann.events()


async def test_who_leaves_the_classroom_is_out_within_seconds_and_the_others_stay(
    room: Room, postgres: Postgres
) -> None:
    async with room.pupil(0) as ann, room.pupil(1) as ben, room.teacher() as teacher:
        await asyncio.sleep(0.5)
        await postgres.fetch("update enrolments set valid_to = now() where user_id = %s", [room.world.pupils[0]])
        assert await ann.closed(5) == 4501
        await postgres.fetch(
            "update classrooms set teacher_id = %s where id = %s", [room.world.other_teacher, room.world.classroom]
        )
        assert await teacher.closed(5) == 4501
        await ben.send("sync", id=1)
        await ben.expect("sync", id=1)


async def test_who_says_leave_is_gone_at_once(room: Room) -> None:
    async with room.teacher() as teacher, room.pupil() as ann:
        await teacher.until(lambda frame: len(frame.get("students", [])) == 1)
        await ann.send("leave", id=1)
        await ann.expect("left", id=1)
        assert await ann.closed() == 1000
        await teacher.expect("presence", students=[])
