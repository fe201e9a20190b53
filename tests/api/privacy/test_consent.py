"""Whose data the network may see: the school's flags, each person's consent, the analyst's grants."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.privacy.grants import ANALYST_SCHOOLS
from core.postgres import Postgres
from tests.api.audit.people import Small, add_user, lines, make_small, person
from tests.api.conftest import Person, data, fault


async def shared(caller: Person, application: FastAPI) -> dict[str, bool]:
    """Pupil → whether ClickHouse says that the network may see him."""
    await application.state.services.ingestion.loader.drain(60)
    query = {"dimensions": ["students.name", "students.shared_with_network"]}
    answer = (await caller.post("/cubejs-api/v1/load", {"query": query})).json()
    return {row["students.name"]: row["students.shared_with_network"] for row in answer["data"]}


async def change(caller: Person, path: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = data(await caller.call("PATCH", f"/api/v1/{path}", json=body))
    return found


async def test_a_flag_and_a_word_reach_the_numbers(small: Small, application: FastAPI) -> None:
    school, ann = f"schools/{small.ids['school']}", f"users/{small.ann.id}"
    assert await shared(small.admin, application) == {"ann": True, "ben": True}
    await change(small.admin, ann, consent=False)
    assert await shared(small.admin, application) == {"ann": False, "ben": True}
    await change(small.admin, school, consent_basis="parental_consent")
    assert await shared(small.admin, application) == {"ann": False, "ben": False}
    await change(small.admin, ann, consent=True)
    assert await shared(small.admin, application) == {"ann": True, "ben": False}
    await change(small.admin, school, share_with_network=False)
    assert await shared(small.admin, application) == {"ann": False, "ben": False}
    await change(small.admin, school, share_with_network=True, consent_basis="school_contract")
    assert await shared(small.admin, application) == {"ann": True, "ben": True}
    await change(small.admin, school, consent_basis="none")
    assert await shared(small.admin, application) == {"ann": False, "ben": False}


async def test_flags_are_shown_kept_and_checked(small: Small) -> None:
    path = f"schools/{small.ids['school']}"
    assert data(await small.admin.get(f"/api/v1/{path}")) | {"retention_months": None} == data(
        await small.admin.get(f"/api/v1/{path}")
    )
    assert (await change(small.admin, path, retention_months=36))["retention_months"] == 36
    assert (await change(small.admin, path, name="Another"))["retention_months"] == 36
    assert (await change(small.admin, path, retention_months=None))["retention_months"] is None
    wrong = [("retention_months", 0), ("retention_months", 1201), ("consent_basis", "maybe"), ("share_with_network", 2)]
    for field, value in wrong:
        answer = fault(await small.admin.call("PATCH", f"/api/v1/{path}", json={field: value}), 422)
        assert answer["error"]["details"]["errors"][0]["field"] == field
    fault(await small.teacher.call("PATCH", f"/api/v1/{path}", json={"share_with_network": False}), 403)
    fault(await small.ann.call("PATCH", f"/api/v1/users/{small.ann.id}", json={"consent": True}), 403)
    changes = [line["details"] for line in await lines(small.admin, action="school.changed", outcome="done")]
    assert changes[-1]["retention_months"] == [None, 36]


async def test_an_analyst_is_made_and_given_schools_by_an_operator(
    small: Small, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    fault(await small.admin.post("/api/v1/users", {"name": "An", "role": "analyst"}), 403)
    fault(await small.admin.call("PATCH", f"/api/v1/users/{small.ann.id}", json={"role": "analyst"}), 403)
    made = data(await small.operator.post("/api/v1/users", {"name": "An", "role": "analyst"}), 201)
    assert made["school_id"] is None
    analyst, school = person(client, "analyst", made["id"], None), small.ids["school"]
    path = f"/api/v1/users/{made['id']}/schools"
    for nobody in (small.admin, small.teacher, analyst):
        fault(await nobody.call("PUT", f"{path}/{school}"), 403)
    for _ in range(2):
        granted = data(await small.operator.call("PUT", f"{path}/{school}"))
        assert [(row["school_id"], row["shared"]) for row in granted] == [(school, True)]
    assert await read_by(postgres, made["id"]) == [school]
    assert [row["id"] for row in data(await analyst.get("/api/v1/schools"))["items"]] == [school]
    assert data(await analyst.get("/api/v1/users/me"))["role"] == "analyst"
    assert [row["id"] for row in data(await analyst.get("/api/v1/users"))["items"]] == [made["id"]]

    await change(small.admin, f"schools/{school}", share_with_network=False)
    assert await read_by(postgres, made["id"]) == []
    assert data(await analyst.get("/api/v1/schools"))["items"] == []
    assert data(await small.operator.get(path))[0]["shared"] is False
    assert data(await small.operator.call("DELETE", f"{path}/{school}")) == []
    assert [line["action"] for line in await lines(small.admin, action="grant", outcome="done")] == [
        "grant.withdrawn",
        "grant.given",
    ]


async def read_by(postgres: Postgres, user_id: int) -> list[int]:
    """The attribute `school_ids` of an analyst."""
    return [row["school_id"] for row in await postgres.fetch(ANALYST_SCHOOLS, {"my_user": user_id})]


@pytest.mark.parametrize("path", ["users/999/schools/1", "users/{ann}/schools/{school}", "users/{analyst}/schools/999"])
async def test_grants_of_what_is_not_there(small: Small, postgres: Postgres, path: str) -> None:
    analyst = await add_user(postgres, "analyst", None)
    filled = path.format(ann=small.ann.id, school=small.ids["school"], analyst=analyst)
    fault(await small.operator.call("PUT", f"/api/v1/{filled}"), 404)


async def test_a_new_account_during_a_change_of_flags_is_not_left_behind(
    small: Small, postgres: Postgres, application: FastAPI
) -> None:
    """The account commits after the school's people were touched, and still gets the new flags."""
    async with postgres.transaction() as late:
        await late.execute(
            "insert into users (school_id, role, name) values (%s, 'student', 'late')", [small.ids["school"]]
        )
        work = small.admin.call(
            "PATCH", f"/api/v1/schools/{small.ids['school']}", json={"consent_basis": "parental_consent"}
        )
        waiting = asyncio.create_task(work)
        await asyncio.sleep(0.5)
        assert not waiting.done()
    data(await waiting)
    assert await shared(small.admin, application) == {"ann": False, "ben": False, "late": False}


async def test_another_school_is_not_touched(small: Small, client: httpx2.AsyncClient, postgres: Postgres) -> None:
    other = await make_small(client, postgres, "Valley")
    fault(await other.admin.call("PATCH", f"/api/v1/schools/{small.ids['school']}", json={"name": "x"}), 404)
    before = await postgres.fetch("select id, version from users where school_id = %s", [other.ids["school"]])
    await change(small.admin, f"schools/{small.ids['school']}", share_with_network=False)
    assert await postgres.fetch("select id, version from users where school_id = %s", [other.ids["school"]]) == before
