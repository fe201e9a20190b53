"""Dead letters are found, mended, played again, and settled once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.clock import now
from core.postgres import Postgres
from tests.api.conftest import School, data, fault


def _view(**fields: Any) -> dict[str, Any]:
    return {"event_name": "content_viewed", "metadata": {"content_id": "a"}, **fields}


async def _letters(school: School, **wanted: Any) -> dict[str, Any]:
    found: dict[str, Any] = data(await school.admin.get("/api/v1/dead-letters", params=wanted))
    return found


async def test_a_letter_says_what_came_whose_it_was_and_why(school: School) -> None:
    moment = now()
    await school.student.post("/api/v1/events", [_view(event_name="content_vewed"), _view(metadata={})])
    found = await _letters(school)
    assert (found["total"], found["reasons"]) == (2, {"missing_field": 1, "unknown_event": 1})
    newest, oldest = found["items"]
    assert oldest["payload"]["event_name"] == "content_vewed"
    assert (newest["field"], newest["code"], newest["state"]) == ("metadata.content_id", "missing_field", "open")
    assert {newest["user_id"], newest["sender_id"]} == {school.student.id}
    assert (await _letters(school, code="clock"))["total"] == 0
    assert (await _letters(school, user_id=school.student.id))["total"] == 2
    assert (await _letters(school, stage="load"))["total"] == 0
    assert (await _letters(school, **{"from": moment.isoformat()}))["total"] == 2
    assert (await _letters(school, to=moment.isoformat()))["total"] == 0


async def test_a_mended_letter_is_played_as_its_sender_and_once(school: School, postgres: Postgres) -> None:
    await school.student.post("/api/v1/events", [_view(event_name="content_vewed")])
    (letter,) = (await _letters(school))["items"]
    path = f"/api/v1/dead-letters/{letter['id']}"
    again = data(await school.admin.post(f"{path}/replay"))
    assert (again["state"], again["outcome"]["reason"], again["replays"]) == ("open", "unknown_event", 1)
    fixed = data(await school.admin.call("PUT", path, json={"payload": _view()}))
    assert (fixed["payload"]["event_name"], fixed["fixed"]) == ("content_vewed", _view())
    settled = data(await school.admin.post(f"{path}/replay"))
    assert (settled["state"], settled["outcome"]["status"]) == ("settled", "accepted")
    assert data(await school.admin.post(f"{path}/replay")) == settled
    fault(await school.admin.call("PUT", path, json={"payload": _view()}), 409, "letter_settled")
    rows = await postgres.fetch(
        "select user_id, occurred_at, received_at from events where event_name='content_viewed'"
    )
    assert [row["user_id"] for row in rows] == [school.student.id]
    kept = await postgres.fetch("select received_at from dead_letters")
    assert abs(rows[0]["occurred_at"] - kept[0]["received_at"]) < timedelta(milliseconds=1)
    assert len(kept) == 1
    lines = data(await school.admin.get("/api/v1/audit"))["items"]
    assert {"letters.read", "letters.fixed", "letters.replayed"} <= {line["action"] for line in lines}


async def test_a_crash_between_the_event_and_the_letter_makes_no_second_event(
    school: School, postgres: Postgres
) -> None:
    await school.student.post("/api/v1/events", [_view(classroom_id=school.other_classroom["id"])])
    await postgres.fetch("update dead_letters set fixed = %s", ['{"event_name": "student_login"}'])
    assert data(await school.admin.post("/api/v1/dead-letters/replay", {}))["accepted"] == 1
    await postgres.fetch("update dead_letters set state = 'open'")
    assert data(await school.admin.post("/api/v1/dead-letters/replay", {}))["duplicate"] == 1
    assert len(await postgres.fetch("select 1 from events where event_name = 'student_login'")) == 1


async def test_all_of_a_reason_are_played_again(school: School, postgres: Postgres) -> None:
    """A clock that was ahead: when its time has come, the events are good."""
    early = [_view(timestamp=(now() + timedelta(hours=1)).isoformat(), client_id=f"c{n}") for n in range(600)]
    sent = data(await school.student.post("/api/v1/events", [*early, _view(metadata={})]), 202)
    assert sent["rejected"] == 601
    assert data(await school.admin.post("/api/v1/dead-letters/replay", {"code": "clock"}))["rejected"] == 600
    await postgres.fetch(
        """update dead_letters set fixed = jsonb_set(payload, '{timestamp}', to_jsonb(now())) where code = 'clock'"""
    )
    played = data(await school.admin.post("/api/v1/dead-letters/replay", {"code": "clock"}))
    assert played == {"accepted": 600, "duplicate": 0, "rejected": 0, "loading": 0}
    assert (await _letters(school, state="open"))["reasons"] == {"missing_field": 1}


async def test_of_two_contradicting_events_the_first_stands_and_both_are_seen(
    school: School, postgres: Postgres
) -> None:
    one = _view(client_id="k", timestamp=now().isoformat())
    first = data(await school.student.post("/api/v1/events", one), 202)["items"][0]
    told = fault(await school.student.post("/api/v1/events", {**one, "metadata": {"content_id": "b"}}), 422, "conflict")
    assert told["error"]["details"]["event_id"] == first["id"]
    (letter,) = (await _letters(school, code="conflict"))["items"]
    assert (letter["event_id"], letter["payload"]["metadata"]) == (first["id"], {"content_id": "b"})
    rows = await postgres.fetch("select props from events where event_name = 'content_viewed'")
    assert rows == [{"props": {"content_id": "a"}}]


async def test_a_refused_answer_is_a_letter_too_and_is_played_again(school: School, postgres: Postgres) -> None:
    question, quiz = school.quiz["questions"][0]["id"], school.quiz["id"]
    wrong = {"question_id": question, "quiz_id": 999_999, "answer": "A"}
    fault(await school.student.post("/api/v1/responses", wrong), 404)
    bulk = {"responses": [wrong, {"answer": 1}]}
    assert data(await school.student.post("/api/v1/responses", bulk), 200)["rejected"] == 2
    found = await _letters(school, kind="response")
    assert found["reasons"] == {"not_found": 2, "invalid_field": 1}
    letter = found["items"][-1]
    path = f"/api/v1/dead-letters/{letter['id']}"
    data(await school.admin.call("PUT", path, json={"payload": {**wrong, "quiz_id": quiz}}))
    settled = data(await school.admin.post(f"{path}/replay"))
    assert (settled["state"], settled["outcome"]["status"]) == ("settled", "accepted")
    (row,) = await postgres.fetch("select student_id, submitted_at from responses")
    assert row["student_id"] == school.student.id
    assert row["submitted_at"].isoformat()[:19] == letter["received_at"][:19]


async def test_letters_of_another_school_are_not_there(school: School, postgres: Postgres) -> None:
    await school.student.post("/api/v1/events", _view(metadata={}))
    await postgres.fetch("update dead_letters set school_id = school_id + 1000")
    assert (await _letters(school))["total"] == 0
    (row,) = await postgres.fetch("select id from dead_letters")
    fault(await school.admin.get(f"/api/v1/dead-letters/{row['id']}"), 404)
    fault(await school.admin.call("PUT", f"/api/v1/dead-letters/{row['id']}", json={"payload": {}}), 404)
    assert data(await school.admin.post("/api/v1/dead-letters/replay", {"ids": [row["id"]]}))["rejected"] == 0
    fault(await school.teacher.get("/api/v1/dead-letters"), 403)


async def test_who_is_gone_plays_nothing(school: School, postgres: Postgres) -> None:
    await school.student.post("/api/v1/responses", {"question_id": 999_999, "answer": "A"})
    await postgres.fetch("update users set disabled_at = now() where id = %s", [school.student.id])
    assert data(await school.admin.post("/api/v1/dead-letters/replay", {}))["rejected"] == 1
