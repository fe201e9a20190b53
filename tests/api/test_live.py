"""Live quizzes through the whole application: opened over HTTP, held over the socket, seen in the report."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from api.cli.server import _bound as bind
from api.live.history import CubeHistory
from core.postgres import Postgres
from core.settings import Settings
from tests.api.conftest import School, data, fault
from tests.realtime.guests import joined, visiting
from tests.realtime.nodes import served


def _wish(school: School, **fields: Any) -> dict[str, Any]:
    return {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"]} | fields


async def test_a_live_answer_is_graded_kept_and_listed_like_any_other(application: FastAPI, school: School) -> None:
    opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 201)
    where = {"join_code": opened["join_code"]}
    question = school.quiz["questions"][0]["id"]
    async with (
        served(application) as url,
        joined(url, school.teacher.tokens["access_token"], **where) as teacher,
        joined(url, school.student.tokens["access_token"], **where) as pupil,
    ):
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=question)
        await pupil.expect("question_displayed")
        assert (await pupil.answer(question, "3/4"))["status"] == "accepted"
        await teacher.send("quiz_ended")
        await teacher.expect("quiz_ended")
    (kept,) = data(await school.student.get("/api/v1/responses"))["items"]
    assert (kept["session_id"], kept["answer"], kept["correct"]) == (opened["session_id"], "B", True)
    seen = data(await school.admin.get("/api/v1/audit?action=live"))["items"]
    came = {(line["action"], line["actor_id"]) for line in seen}
    assert came == {("live.opened", school.teacher.id)} | {
        ("live.joined", who.id) for who in (school.teacher, school.student)
    }


async def test_a_live_answer_is_in_clickhouse_within_a_second(application: FastAPI, school: School) -> None:
    opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 201)
    question = school.quiz["questions"][0]["id"]
    async with (
        served(application) as url,
        joined(url, school.teacher.tokens["access_token"], session_id=opened["session_id"]) as teacher,
        joined(url, school.student.tokens["access_token"], session_id=opened["session_id"]) as pupil,
    ):
        await teacher.send("quiz_started")
        await teacher.send("question_displayed", question_id=question)
        await pupil.expect("question_displayed")
        await pupil.answer(question, "B")
        async with asyncio.timeout(1):
            warehouse = application.state.services.warehouse
            while True:
                rows = await warehouse.query(
                    "SELECT correct FROM responses WHERE session_id = {s:UInt64}", {"s": opened["session_id"]}
                )
                if rows.result_rows:
                    break
                await asyncio.sleep(0.02)
    assert [bool(row[0]) for row in rows.result_rows] == [True]


def test_small_frames_leave_the_server_at_once() -> None:
    settings = Settings(port=0)
    with bind(uvicorn.Config("", host=settings.host, port=0), settings) as door:
        door.listen()
        with socket.create_connection(door.getsockname()), door.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_only_the_classrooms_teacher_or_the_admin_opens_a_live_quiz_and_only_one(school: School) -> None:
    fault(await school.student.post("/api/v1/live/sessions", _wish(school)), 403)
    fault(await school.other_teacher.post("/api/v1/live/sessions", _wish(school)), 403, "not_admitted")
    fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, quiz_id=10**6)), 404)
    opened = data(await school.admin.post("/api/v1/live/sessions", _wish(school)), 201)
    again = fault(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 409, "already_open")
    assert again["error"]["details"]["join_code"] == opened["join_code"]


@pytest.mark.parametrize("body", [{}, {"classroom_id": 1}, {"classroom_id": "x", "quiz_id": 1}, {"quiz_id": 0}])
async def test_a_wish_that_is_none_is_refused(school: School, body: dict[str, Any]) -> None:
    fault(await school.teacher.post("/api/v1/live/sessions", body), 422)


async def test_a_room_is_opened_with_its_rules_and_with_none_that_contradict(
    application: FastAPI, school: School
) -> None:
    fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, mode="self_paced", changes=True)), 422)
    for wrong in ({"seconds": 0}, {"seconds": 1e9}, {"mode": "chaos"}, {"unknown": 1}):
        fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, **wrong)), 422)
    opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school, nicknames=True, seconds=30)), 201)
    token = school.student.tokens["access_token"]
    async with served(application) as url, joined(url, token, join_code=opened["join_code"], nickname="Ada") as pupil:
        rules = pupil.frames[0]["rules"]
        assert (rules["nicknames"], rules["seconds"], rules["mode"]) == (True, 30, "teacher")


async def test_join_codes_are_guessed_slowly_and_nobody_else_waits_for_it(application: FastAPI, school: School) -> None:
    opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 201)
    codes: list[str] = []
    stranger = school.other_teacher.tokens["access_token"]
    async with served(application) as url:
        for number in range(40):
            async with visiting(url) as guest:
                await guest.send("join", token=stranger, join_code=f"AAAA{number:04}")
                refused = await guest.expect("error")
                codes.append(refused["code"])
                assert await guest.closed() == (4015 if refused["code"] == "too_many_tries" else 4503)
        assert codes[0] == "not_admitted" and codes[-1] == "too_many_tries"
        assert refused["temporary"] and refused["retry_ms"] >= 1000
        assert codes.count("not_admitted") <= 12
        async with joined(url, school.student.tokens["access_token"], join_code=opened["join_code"]):
            pass


async def test_the_moments_of_a_quiz_are_events_and_a_question_has_a_history(
    application: FastAPI, school: School, postgres: Postgres
) -> None:
    question = school.quiz["questions"][0]["id"]
    for number in range(2):
        opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 201)
        where = {"session_id": opened["session_id"]}
        async with (
            served(application) as url,
            joined(url, school.teacher.tokens["access_token"], **where) as teacher,
            joined(url, school.student.tokens["access_token"], **where) as pupil,
        ):
            await teacher.send("quiz_started")
            await teacher.send("question_displayed", question_id=question)
            await pupil.expect("question_displayed")
            if number:
                found = await teacher.until(lambda frame: frame.get("history") is not None, "history")
                assert found["history"] == {"answers": 0, "accuracy": None}  # too few to be told
            for _ in range(4):
                await pupil.answer(question, "3/4")
                await teacher.send("question_restarted", id=1)
                await teacher.until(lambda frame: frame.get("id") == 1)
            await teacher.send("quiz_ended")
            await teacher.expect("quiz_ended")
    row = await postgres.fetch_one("select school_id from users where id = %s", [school.teacher.id])
    assert row is not None
    school_id = row["school_id"]
    history = CubeHistory(application.state.services.engine)
    sitting = SimpleNamespace(session_id=10**9, school_id=school_id)
    async with asyncio.timeout(10):
        while (told := await history(sitting, question)) is None or told.answers < 8:  # type: ignore[arg-type]
            await asyncio.sleep(0.1)
    assert told.accuracy == 1.0
    rows = await postgres.fetch(
        "select event_name, count(*) as n, array_agg(distinct user_id) as who from events"
        " where session_id is not null and event_name <> 'answer_submitted' group by 1"
    )
    told_of = {row["event_name"]: (row["n"], row["who"]) for row in rows}
    who = [school.teacher.id]
    assert told_of == {"quiz_started": (2, who), "question_displayed": (10, who), "quiz_ended": (2, who)}
