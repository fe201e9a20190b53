"""Who may erase whom, what he sees before, and that no door finds the person afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx2
from fastapi import FastAPI

from core.postgres import Postgres
from tests.api.audit.people import Small, lines, make_small
from tests.api.conftest import Person, data, fault


async def erase(admin: Person, user_id: int) -> dict[str, Any]:
    """Preview, confirm, ask."""
    path = f"/api/v1/users/{user_id}/erasure"
    seal = data(await admin.get(path))["confirmation"]
    found: dict[str, Any] = data(await admin.post(path, {"confirmation": seal}), 202)
    return found


async def reached(admin: Person, erasure: int, key: str) -> dict[str, Any]:
    """The erasure when `key` is set."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = data(await admin.get(f"/api/v1/erasures/{erasure}"))
            if found[key]:
                return found
            await asyncio.sleep(0.05)


async def names(asker: Person) -> list[str]:
    """Whom the cube of students knows, with the number of their answers."""
    query = {"dimensions": ["students.name"], "measures": ["responses.count"], "order": {"students.name": "asc"}}
    body = (await asker.post("/cubejs-api/v1/load", {"query": query})).json()
    return [f"{row['students.name']}: {row['responses.count']}" for row in body["data"]]


async def answers(small: Small, application: FastAPI) -> None:
    """Both pupils have answered once, and it is in ClickHouse."""
    for pupil in (small.ann, small.ben):
        body = {"question_id": small.ids["single"], "quiz_id": small.ids["quiz"], "answer": "B"}
        data(await pupil.post("/api/v1/responses", body), 201)
    await application.state.services.ingestion.loader.drain()


async def test_no_door_finds_him(small: Small, application: FastAPI, postgres: Postgres) -> None:
    await answers(small, application)
    assert await names(small.admin) == ["ann: 1", "ben: 1"]
    before = data(await small.admin.get(f"/api/v1/users/{small.ann.id}/erasure"))
    assert before["record"]["responses"] == before["warehouse"]["responses"] == 1
    assert before["record"]["account"] == 1

    asked = await erase(small.admin, small.ann.id)
    fault(await small.ann.get("/api/v1/users/me"), 401)
    await reached(small.admin, asked["id"], "applied_at")
    assert await names(small.admin) == ["ben: 1"]
    fault(await small.admin.get(f"/api/v1/users/{small.ann.id}"), 404)
    fault(await small.admin.get(f"/api/v1/users/{small.ann.id}/erasure"), 404)
    assert data(await small.operator.get("/api/v1/status"))["amendments"] == {"erasure settling": 1}

    await postgres.fetch("update amendments set settle_until = now()")
    done = await reached(small.admin, asked["id"], "finished_at")
    told = json.dumps(done["certificate"], sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(told).hexdigest() == done["hash"]
    page = await small.admin.get(f"/api/v1/erasures/{asked['id']}/certificate")
    assert "Certificate of erasure" in page.text
    assert done["hash"] in page.text
    assert "responses" in page.text
    actions = [line["action"] for line in await lines(small.admin, subject_id=small.ann.id, action="erasure")]
    assert {"erasure.previewed", "erasure.asked", "erasure.read", "erasure.printed", "erasure.done"} <= set(actions)
    assert data(await small.operator.get("/api/v1/audit/verification"))["whole"] is True


async def test_who_may_not(small: Small, client: httpx2.AsyncClient, postgres: Postgres) -> None:
    other = await make_small(client, postgres, "Valley")
    path = f"/api/v1/users/{small.ann.id}/erasure"
    for nobody in (small.ann, small.ben, small.teacher):
        fault(await nobody.post(path, {"confirmation": "x"}), 403)
    fault(await other.admin.post(path, {"confirmation": "x"}), 404)
    fault(await other.admin.get(path), 404)
    fault(await small.admin.post("/api/v1/users/987654/erasure", {"confirmation": "x"}), 404)
    fault(await small.admin.post(path, {"confirmation": "x"}), 409, "not_confirmed")
    own = f"/api/v1/users/{small.admin.id}/erasure"
    seal = data(await small.admin.get(own))["confirmation"]
    fault(await small.admin.post(own, {"confirmation": seal}), 409, "own_account")
    assert await postgres.fetch("select 1 as n from amendments") == []
    assert data(await small.operator.post(own, {"confirmation": seal}), 202)["person"] == small.admin.id
    fault(await other.admin.get("/api/v1/erasures/1"), 404)
    assert data(await other.admin.get("/api/v1/erasures"))["total"] == 0


async def test_the_same_twice(small: Small, postgres: Postgres) -> None:
    await postgres.fetch("insert into holds (user_id, reason) values (0, 'nobody')")
    await erase(small.admin, small.ann.id)
    answer = await small.admin.get(f"/api/v1/users/{small.ann.id}/erasure")
    if answer.status_code == 200:  # the loader has not come to it yet
        seal = answer.json()["data"]["confirmation"]
        answer = await small.admin.post(f"/api/v1/users/{small.ann.id}/erasure", {"confirmation": seal})
        assert answer.status_code in (404, 409)


async def test_a_hold_of_the_person_or_the_school(small: Small, client: httpx2.AsyncClient, postgres: Postgres) -> None:
    other = await make_small(client, postgres, "Valley")
    path = f"/api/v1/users/{small.ann.id}/erasure"
    for wish in ({"user_id": small.ann.id}, {"school_id": small.ids["school"]}):
        hold = data(await small.admin.post("/api/v1/holds", {**wish, "reason": "a court asked"}), 201)
        found = data(await small.admin.get(path))
        assert found["holds"] == [hold["id"]]
        answer = fault(await small.admin.post(path, {"confirmation": found["confirmation"]}), 409, "on_hold")
        assert answer["error"]["details"]["holds"] == [hold["id"]]
        fault(await other.admin.call("DELETE", f"/api/v1/holds/{hold['id']}"), 404)
        fault(await other.admin.post("/api/v1/holds", {**wish, "reason": "x"}), 404)
        assert data(await other.admin.get("/api/v1/holds")) == []
        released = data(await small.admin.call("DELETE", f"/api/v1/holds/{hold['id']}"))
        assert released["released_by"] == small.admin.id
        fault(await small.admin.call("DELETE", f"/api/v1/holds/{hold['id']}"), 404)
    assert data(await small.admin.get("/api/v1/holds")) == []
    assert len(data(await small.admin.get("/api/v1/holds?released=true"))) == 2
    for wrong in ({"reason": "x"}, {"user_id": 1, "school_id": 1, "reason": "x"}, {"user_id": 1, "reason": ""}):
        fault(await small.admin.post("/api/v1/holds", wrong), 422)
    held = [line["action"] for line in await lines(small.admin, action="hold")]
    assert held.count("hold.set") >= 2
    assert held.count("hold.released") >= 2


async def test_what_others_send_about_him_is_refused(small: Small, application: FastAPI) -> None:
    """Their other rows are kept."""
    await answers(small, application)
    asked = await erase(small.admin, small.ann.id)
    await reached(small.admin, asked["id"], "applied_at")
    sent = [{"question_id": small.ids["number"], "quiz_id": small.ids["quiz"], "answer": "3", "student_id": each.id}
            for each in (small.ann, small.ben)]  # fmt: skip
    items = data(await small.teacher.post("/api/v1/responses", {"responses": sent}), 201)["items"]
    assert [item["status"] for item in items] == ["rejected", "accepted"]
    event = {
        "event_name": "content_viewed",
        "app": "notebook",
        "user_id": small.ann.id,
        "metadata": {"content_id": "x"},
    }
    answer = await small.teacher.post("/api/v1/events", event)
    assert answer.status_code != 202 or data(answer, 202)["items"][0]["status"] == "rejected", answer.text
