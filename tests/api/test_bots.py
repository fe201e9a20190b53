"""The demo's live quiz: bots play it to its end, and give way to a teacher who leads."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from api.cli.bots import Pace, Stage, play
from core.postgres import Postgres
from tests.api.conftest import School, data
from tests.realtime.guests import joined
from tests.realtime.nodes import served

_QUICK = dict.fromkeys(["lobby", "started", "locked", "revealed", "skipped"], 0.1)


async def _stage(school: School, url: str, seconds: float | None) -> Stage:
    wish = {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"], "seconds": seconds}
    opened = data(await school.teacher.post("/api/v1/live/sessions", wish), 201)
    tokens = [who.tokens["access_token"] for who in (school.teacher, school.student)]
    return Stage(url, opened["session_id"], opened["join_code"], tokens[0], tuple(tokens[1:]))


async def _kept(postgres: Postgres) -> list[tuple[int, str]]:
    rows = await postgres.fetch("select question_id, app from events where event_name = 'answer_submitted'")
    return [(row["question_id"], row["app"]) for row in rows]


async def test_bots_play_a_quiz_to_its_end(application: FastAPI, school: School, postgres: Postgres) -> None:
    async with served(application) as url:
        stage = await _stage(school, url, seconds=0.5)
        async with asyncio.timeout(30):
            await play(stage, Pace(thought=0.1, patience=_QUICK))
    answered = {question for question, _ in await _kept(postgres)}
    assert answered == {question["id"] for question in school.quiz["questions"]}
    (row,) = await postgres.fetch("select ended_at from quiz_sessions")
    assert row["ended_at"] is not None


async def test_the_leader_waits_for_a_teacher_who_leads_and_the_time_is_bounded(
    application: FastAPI, school: School, postgres: Postgres
) -> None:
    async with served(application) as url:
        stage = await _stage(school, url, seconds=None)
        playing = asyncio.create_task(play(stage, Pace(thought=0.1, longest=3, patience={})))
        async with joined(url, stage.teacher, session_id=stage.session_id) as teacher:
            await teacher.send("quiz_started")
            await teacher.send("question_displayed", question_id=school.quiz["questions"][1]["id"])
            histogram = await teacher.until(lambda frame: frame.get("answered") == 1, "the bot's answer")
            assert sum(histogram["counts"].values()) == 1
            await teacher.expect("quiz_ended")
        await asyncio.wait_for(playing, 10)
