"""Live quizzes through the whole application: opened over HTTP, held over the socket, seen in the report."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.websockets import WebSocket

from api.cli.server import _bound as bind
from api.live.history import CubeHistory
from api.live.routes import quiz_socket
from api.principal import Principal
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
    one, other = {"name": "A", "members": [school.student.id]}, {"name": "B", "members": [school.student.id]}
    odd: list[list[dict[str, Any]]] = [[one], [one, other], [one, {"name": "A "}], [{"name": " "}, other], [{}, {}]]
    for teams in odd:
        fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, teams=teams)), 422)
    strangers = [{"name": "A", "members": [school.other_teacher.id]}, {"name": "B"}]
    fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, teams=strangers)), 422)
    for wrong in ({"seconds": 0}, {"seconds": 1e9}, {"mode": "chaos"}, {"unknown": 1}):
        fault(await school.teacher.post("/api/v1/live/sessions", _wish(school, **wrong)), 422)
    wish = _wish(school, nicknames=True, seconds=30, teams=[{"name": "A"}, other])
    opened = data(await school.teacher.post("/api/v1/live/sessions", wish), 201)
    token = school.student.tokens["access_token"]
    async with served(application) as url, joined(url, token, join_code=opened["join_code"], nickname="Ada") as pupil:
        rules = pupil.frames[0]["rules"]
        assert (rules["nicknames"], rules["seconds"], rules["mode"]) == (True, 30, "teacher")
        assert (rules["teams"], pupil.frames[0]["team"]) == (["A", "B"], "B")


async def test_wrong_join_codes_wait_and_their_socket_says_for_how_long(application: FastAPI, school: School) -> None:
    stranger = school.other_teacher.tokens["access_token"]
    async with served(application) as url:
        for number in range(14):
            async with visiting(url) as guest:
                await guest.send("join", token=stranger, join_code=f"AAAA{number:04}")
                refused = await guest.expect("error")
                assert await guest.closed() == (4015 if refused["code"] == "too_many_tries" else 4503)
    assert (refused["code"], refused["temporary"]) == ("too_many_tries", True) and refused["retry_ms"] >= 1000


async def test_ten_thousand_guesses_at_a_join_code_find_nothing_and_nobody_else_notices(
    application: FastAPI, school: School, postgres: Postgres
) -> None:
    """A hundred accounts of the school guess, from behind its one address, while a lesson goes on there."""
    opened = data(await school.teacher.post("/api/v1/live/sessions", _wish(school)), 201)
    question, where = school.quiz["questions"][0]["id"], {"join_code": opened["join_code"]}
    rows = await postgres.fetch(
        "insert into users (school_id, role, name) select school_id, 'student', 'G' from users, generate_series(1, 101)"
        " where id = %s returning id, school_id",
        [school.teacher.id],
    )
    issue = application.state.services.tokens.issue
    newcomer, *guessers = [issue(Principal("student", row["id"], row["school_id"]), timedelta(hours=1)) for row in rows]
    enrol = "insert into enrolments (school_id, classroom_id, user_id) values (%s, %s, %s)"
    await postgres.fetch(enrol, [rows[0]["school_id"], school.classroom["id"], rows[0]["id"]])
    told: Counter[tuple[str, int]] = Counter()

    async def guess(token: str, attempts: int) -> None:
        for number in range(attempts):
            await asyncio.sleep(0)  # as over a network: others get their turn
            told[await _knock(application, {"token": token, "join_code": f"AAAA{number:04}"})] += 1

    async with served(application) as url:
        async with (
            joined(url, school.teacher.tokens["access_token"], **where) as teacher,
            joined(url, school.student.tokens["access_token"], **where) as pupil,
        ):
            await teacher.send("quiz_started")
            await teacher.send("question_displayed", question_id=question)
            await pupil.expect("question_displayed")
            await teacher.expect("histogram")
            heard = teacher.events(), pupil.events()
            guessing = asyncio.gather(*(guess(token, 100) for token in guessers))
            await asyncio.sleep(0)
            assert (await pupil.answer(question, "3/4"))["status"] == "accepted"
            assert not guessing.done()
            await guessing
            news = {*teacher.events()[len(heard[0]) :], *pupil.events()[len(heard[1]) :]}
            assert news <= {"answer_ack", "histogram", "insight", "ping"}
        async with joined(url, newcomer, **where):  # he has never been here before
            pass
    assert sum(told.values()) == 10_000
    assert set(told) == {("not_admitted", 4503), ("too_many_tries", 4015)}
    assert told["not_admitted", 4503] <= 100 * 12  # ten are free, then the waits double


async def _knock(application: FastAPI, join: dict[str, Any]) -> tuple[str, int]:
    """What a socket at 127.0.0.1 hears whose first frame this is: the error's code, and the close code."""
    said = iter(({"type": "websocket.connect"}, {"type": "websocket.receive", "text": json.dumps(join)}))
    heard: list[Any] = []

    async def receive() -> Any:
        return next(said)

    async def send(message: Any) -> None:
        heard.append(message)

    scope = {"type": "websocket", "app": application, "headers": [], "client": ("127.0.0.1", 1), "subprotocols": []}
    await quiz_socket(WebSocket(scope, receive, send))
    _, error, close = heard
    return json.loads(error["text"])["code"], close["code"]


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
