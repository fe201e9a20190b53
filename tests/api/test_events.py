"""Events: acknowledged means committed; each item has its own outcome."""

from __future__ import annotations

from typing import Any

import pytest

from core.clock import now
from core.postgres import Postgres
from tests.api.conftest import School, data, fault


def _event(**fields: Any) -> dict[str, Any]:
    return {
        "event_name": "content_viewed",
        "app": "notebook",
        "metadata": {"content_id": "chapter-5"},
        "timestamp": now().isoformat(),
    } | fields


async def test_one_event_is_committed_when_it_is_acknowledged(school: School, postgres: Postgres) -> None:
    answer = data(await school.student.post("/api/v1/events", _event(classroom_id=school.classroom["id"])), 202)
    assert (answer["accepted"], answer["rejected"]) == (1, 0)
    rows = await postgres.fetch("select event_id::text as id, user_id from events where event_name = 'content_viewed'")
    assert rows == [{"id": answer["items"][0]["id"], "user_id": school.student.id}]


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_bad_event_does_not_harm_its_neighbours(school: School, postgres: Postgres, wrapped: bool) -> None:
    events = [_event(), _event(event_name="content_vewed"), _event(metadata={"content_id": 5}), 7, _event()]
    body = {"events": events} if wrapped else events
    answer = data(await school.student.post("/api/v1/events", body), 202)
    assert [item["status"] for item in answer["items"]] == ["accepted", "rejected", "rejected", "rejected", "accepted"]
    assert "content_viewed" in answer["items"][1]["message"]
    assert answer["items"][2]["field"] == "metadata.content_id"
    assert len(await postgres.fetch("select 1 from dead_letters")) == 3


async def test_a_retry_counts_once(school: School, postgres: Postgres) -> None:
    event = _event(client_id="tablet-1-7")
    first = data(await school.student.post("/api/v1/events", event), 202)
    second = data(await school.student.post("/api/v1/events", event), 202)
    assert (first["items"][0]["status"], second["items"][0]["status"]) == ("accepted", "duplicate")
    assert first["items"][0]["id"] == second["items"][0]["id"]
    assert len(await postgres.fetch("select 1 from events where event_name = 'content_viewed'")) == 1


async def test_a_single_bad_event_is_refused_with_its_field(school: School) -> None:
    answer = fault(await school.student.post("/api/v1/events", _event(metadata={})), 422)
    assert answer["error"]["details"]["errors"][0]["field"] == "metadata.content_id"


async def test_a_student_speaks_for_himself_only(school: School) -> None:
    fault(await school.student.post("/api/v1/events", _event(user_id=school.other_student.id)), 422, "forbidden")
    quiz = {"event_name": "quiz_started", "quiz_id": school.quiz["id"], "metadata": {}}
    fault(await school.student.post("/api/v1/events", _event(**quiz)), 422, "forbidden")


async def test_what_is_another_classs_is_refused_item_by_item(school: School, postgres: Postgres) -> None:
    """A pupil and a teacher name their own class; an admin any of his school; nobody learns what there is."""
    own, other = school.classroom["id"], school.other_classroom["id"]
    events = [_event(classroom_id=own), _event(classroom_id=other), _event(quiz_id=school.other_quiz["id"]), _event()]
    for person in (school.student, school.teacher):
        answer = data(await person.post("/api/v1/events", events), 202)
        assert [item["status"] for item in answer["items"]] == ["accepted", "rejected", "rejected", "accepted"]
        assert [item["reason"] for item in answer["items"][1:3]] == ["unknown_id", "unknown_id"]
        missing = fault(await person.post("/api/v1/events", _event(classroom_id=999_999)), 422, "unknown_id")
        there = fault(await person.post("/api/v1/events", _event(classroom_id=other)), 422, "unknown_id")
        assert there["message"] == missing["message"].replace("999999", str(other))
    of_other = _event(user_id=school.other_student.id)
    fault(await school.teacher.post("/api/v1/events", of_other), 422, "unknown_id")
    answer = data(await school.admin.post("/api/v1/events", [*events, of_other]), 202)
    assert answer["accepted"] == 5
    assert {
        row["classroom_id"]
        for row in await postgres.fetch("select classroom_id from events where user_id = %s", [school.student.id])
    } == {own, None}


@pytest.mark.parametrize("body", [[], {"events": []}, {"events": [{}] * 5001}])
async def test_an_empty_or_endless_batch_is_refused(school: School, body: Any) -> None:
    assert (await school.student.post("/api/v1/events", body)).status_code in {413, 422}


async def test_a_new_quiz_tells_so_itself(school: School, postgres: Postgres) -> None:
    rows = await postgres.fetch(
        "select quiz_id, user_id, props from events where event_name = 'quiz_created' order by 1"
    )
    assert [(row["quiz_id"], row["user_id"]) for row in rows] == [
        (school.quiz["id"], school.teacher.id),
        (school.other_quiz["id"], school.other_teacher.id),
    ]
    assert rows[0]["props"] == {"title": "Quiz A", "question_count": 3}
