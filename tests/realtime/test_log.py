"""The durable log: compare-and-set, no gaps, rooms that open once."""

from __future__ import annotations

import asyncio

import pytest

from api.principal import Principal
from core.errors import Conflict, Forbidden, NotFound
from core.postgres import Postgres
from realtime.log import CODE_LETTERS, SessionLog
from realtime.protocol import EndQuiz, StartQuiz
from realtime.session import decide
from realtime.state import State, fold
from tests.realtime.conftest import Room
from tests.realtime.nodes import Node
from tests.realtime.world import World


async def test_of_many_commands_on_one_state_one_is_written(postgres: Postgres, room: Room) -> None:
    log = SessionLog(postgres)
    sitting = await log.sitting(room.opened.session_id)
    start, end = (decide(sitting, State(), command, 1) for command in (StartQuiz(), EndQuiz()))
    written = await asyncio.gather(*(log.append(sitting, State(), [*events]) for events in (start, end) * 4))
    assert sum(written) == 1
    events = await log.since(sitting.session_id, 0)
    assert len(events) == 1
    assert await log.heads([sitting.session_id]) == {sitting.session_id: 1}
    row = await postgres.fetch_one("select state from live_sessions where session_id = %s", [sitting.session_id])
    assert row and row["state"]["phase"] == fold(events).phase


async def test_a_classroom_holds_one_live_quiz_at_a_time(postgres: Postgres, world: World) -> None:
    log = SessionLog(postgres)
    opened = await asyncio.gather(
        *(log.open(world.school, world.classroom, world.quiz) for _ in range(4)), return_exceptions=True
    )
    refused = [outcome for outcome in opened if isinstance(outcome, Conflict)]
    assert len(refused) == 3
    assert set(refused[0].details) == {"session_id", "join_code"}
    (row,) = await postgres.fetch("select join_code from live_sessions")
    assert len(row["join_code"]) == 8 and set(row["join_code"]) <= set(CODE_LETTERS)


async def test_after_the_end_the_classroom_may_have_another(room: Room, node: Node) -> None:
    async with room.teacher() as teacher:
        await teacher.send("quiz_ended")
        await teacher.expect("quiz_ended")
    world = room.world
    principal = Principal(role="teacher", user_id=world.teacher, school_id=world.school)
    again = await node.hub.open_room(principal, world.classroom, world.quiz)
    assert again.session_id != room.opened.session_id and again.join_code != room.opened.join_code


async def test_only_a_teacher_of_the_classroom_opens_a_room(world: World, node: Node) -> None:
    for user, role in ((world.pupils[0], "student"), (world.other_teacher, "teacher"), (world.foreign_admin, "admin")):
        with pytest.raises(Forbidden):
            principal = Principal(role=role, user_id=user, school_id=world.school)
            await node.hub.open_room(principal, world.classroom, world.quiz)


async def test_a_quiz_of_another_school_or_without_questions_cannot_be_opened(
    postgres: Postgres, world: World, node: Node
) -> None:
    principal = Principal(role="teacher", user_id=world.teacher, school_id=world.school)
    for school in (world.school, world.school + 1):
        row = await postgres.fetch_one("insert into quizzes (school_id, title) values (%s, 'x') returning id", [school])
        assert row is not None
        with pytest.raises(NotFound):
            await node.hub.open_room(principal, world.classroom, row["id"])
    with pytest.raises(NotFound):
        await node.hub.open_room(principal, world.classroom, 10**9)
