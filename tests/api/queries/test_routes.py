"""Cube's endpoints: who may ask, in which forms, and what is said of what cannot be answered."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.auth.tokens import Tokens
from api.principal import Principal
from core.settings import Settings
from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import SECRET, application, caller, token

LOAD = "/cubejs-api/v1/load"
COUNT = {"measures": ["Orders.count"]}
BY_CITY = {"measures": ["Orders.count"], "dimensions": ["Customers.city"], "order": {"Customers.city": "asc"}}


def _expired() -> str:
    return Tokens(SECRET, timedelta(minutes=-5)).issue(Principal(role="operator", subject="tests"))


def _foreign() -> str:
    tokens = Tokens(b"the secret of another server, as long", timedelta(minutes=5))
    return "Bearer " + tokens.issue(Principal(role="operator", subject="tests"))


@pytest.mark.parametrize("path", ["load", "sql", "meta", "dry-run", "subscribe"])
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "Authorization header isn't set"),
        ({"Authorization": "garbage"}, "Invalid token"),
        (
            {"Authorization": _foreign()},
            "Invalid token",
        ),
        ({"Authorization": _expired()}, "Invalid token"),
    ],
    ids=["none", "garbage", "of another server", "expired"],
)
async def test_who_does_not_say_who_he_is_gets_403(
    orders_app: FastAPI, path: str, headers: dict[str, str], text: str
) -> None:
    async with caller(orders_app, **headers) as stranger:
        answer = await stranger.get(f"/cubejs-api/v1/{path}", params={"query": json.dumps(COUNT)})
    assert (answer.status_code, answer.json()) == (403, {"error": text})


@pytest.mark.parametrize("header", ["Authorization", "x-cube-authorization"])
@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
async def test_a_token_may_come_bare_or_as_bearer(orders_app: FastAPI, header: str, scheme: str) -> None:
    async with caller(orders_app, **{header: scheme + token()}) as client:
        assert (await client.get(LOAD, params={"query": json.dumps(COUNT)})).status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/livez"])
async def test_probes_need_no_token(orders_app: FastAPI, path: str) -> None:
    async with caller(orders_app) as stranger:
        answer = await stranger.get(path)
    assert (answer.status_code, answer.json()) == (200, {"health": "HEALTH"})


async def test_every_form_of_a_request_has_the_same_answer(client: httpx2.AsyncClient) -> None:
    text = json.dumps(BY_CITY)
    answers = [
        await client.get(LOAD, params={"query": text}),
        await client.post(LOAD, json={"query": BY_CITY}),
        await client.post(LOAD, json={"query": text}),
        await client.get("/cubejs-api/v1/subscribe", params={"query": text}),
    ]
    bodies = [answer.json() for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["data"][0] == {"Customers.city": "Berlin", "Orders.count": "1660"}
    multi = (await client.post(LOAD, json={"query": BY_CITY, "queryType": "multi"})).json()
    assert multi["results"] == [bodies[0]]


async def test_total_counts_the_rows_that_the_limit_hides(client: httpx2.AsyncClient) -> None:
    body = (await client.post(LOAD, json={"query": {**BY_CITY, "limit": 2, "total": True}})).json()
    assert (len(body["data"]), body["total"]) == (2, 6)


async def test_several_queries_need_a_client_that_reads_several_results(client: httpx2.AsyncClient) -> None:
    time = {"dimension": "Orders.createdAt", "granularity": "month", "compareDateRange": ["2025-01-01", "2025-02-01"]}
    answer = await client.post(LOAD, json={"query": {**COUNT, "timeDimensions": [time]}})
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "'compareDateRangeQuery' query type is not supported by the client.Please update the client."
    )


async def test_a_wrong_name_gets_the_nearest_right_one(client: httpx2.AsyncClient) -> None:
    for path in ("load", "sql", "dry-run"):
        answer = await client.post(f"/cubejs-api/v1/{path}", json={"query": {"measures": ["Orders.cuont"]}})
        assert answer.status_code == 400
        near = answer.json()["nearest"]
        assert near[0] == "Orders.count"
        assert answer.json() == {
            "type": "UserError",
            "error": "'cuont' not found for path 'Orders.cuont'",
            "code": "unknown_member",
            "path": "measures[0]",
            "ossie": "E_NAME_NOT_FOUND",
            "member": "Orders.cuont",
            "nearest": near,
            "hint": f"Did you mean {' or '.join(near)}?",
        }


@pytest.mark.parametrize("body", ["", "[]", "5", '{"query": NaN}', '{"query": {"measures": ["\\ud800.x"]}}', "{}"])
async def test_a_body_that_holds_no_query_is_the_callers_fault(client: httpx2.AsyncClient, body: str) -> None:
    answer = await client.post(LOAD, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_meta_names_what_can_be_asked(client: httpx2.AsyncClient) -> None:
    cubes = (await client.get("/cubejs-api/v1/meta")).json()["cubes"]
    assert [(cube["name"], cube["type"]) for cube in cubes][-1] == ("OrdersView", "view")
    views = (await client.get("/cubejs-api/v1/meta?onlyViews=true")).json()["cubes"]
    assert [view["name"] for view in views] == ["OrdersView"]
    extended = (await client.get("/cubejs-api/v1/meta?extended")).json()["cubes"]
    assert extended[0]["joins"][0]["name"] == "Customers"


_DRILL = """
cubes:
  - name: shops
    sql: SELECT 1 AS id
    measures:
      - {name: count, type: count}
      - {name: sales, sql: id, type: sum, drill_members: [id, count]}
    dimensions: [{name: id, sql: id, type: number, primary_key: true, public: true}]
views:
  - name: face
    cubes: [{join_path: shops, includes: [{name: id, alias: number}, sales]}]
"""


async def test_drill_members_are_told_by_kind_and_under_the_names_of_a_view(
    tmp_path: Path, bare_warehouse: Warehouse
) -> None:
    (tmp_path / "model.yml").write_text(_DRILL, encoding="utf-8")
    async with caller(application(load_catalog(tmp_path), bare_warehouse), Authorization=token()) as client:
        cubes = (await client.get("/cubejs-api/v1/meta")).json()["cubes"]
        told = {each["name"]: each["drillMembersGrouped"] for cube in cubes for each in cube["measures"]}
        assert told["shops.sales"] == {"measures": ["shops.count"], "dimensions": ["shops.id"]}
        assert told["face.sales"] == {"measures": [], "dimensions": ["face.number"]}
        body = (await client.post(LOAD, json={"query": {"measures": ["face.sales"]}})).json()
        assert body["annotation"]["measures"]["face.sales"]["drillMembers"] == ["face.number"]


_POLICY = """
cubes:
  - name: answers
    sql: SELECT number AS id, number % 3 AS school, number AS secret FROM numbers(9)
    measures: [{name: count, type: count}]
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: secret, sql: secret, type: number}
    access_policy:
      - group: teacher
        member_level: {includes: [count, id]}
        row_level: {filters: [{member: school, operator: equals, values: ["{security_context.school_id}"]}]}
      - {group: operator}
""".replace("{name: secret", "{name: school, sql: school, type: number}\n      - {name: secret")


async def test_rights_hold_and_are_not_shown(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(_POLICY, encoding="utf-8")
    app = application(load_catalog(tmp_path), bare_warehouse)
    query = {"measures": ["answers.count"], "dimensions": ["answers.id"], "order": {"answers.id": "asc"}}
    async with caller(app, Authorization=token("teacher", school_id=2)) as teacher:
        body = (await teacher.post(LOAD, json={"query": query})).json()
        assert [row["answers.id"] for row in body["data"]] == ["2", "5", "8"]
        assert "school" not in json.dumps({key: body[key] for key in body if key != "data"})
        refused = await teacher.post(LOAD, json={"query": {"dimensions": ["answers.secret"]}})
        assert refused.status_code == 403 and "secret" in refused.json()["error"]
        (cube,) = (await teacher.get("/cubejs-api/v1/meta")).json()["cubes"]
        assert [each["name"] for each in cube["dimensions"]] == ["answers.id"]
    async with caller(app, Authorization=token("student")) as student:
        assert (await student.post(LOAD, json={"query": query})).status_code == 403
        assert (await student.get("/cubejs-api/v1/meta")).json() == {"cubes": []}
    async with caller(app, Authorization=token("teacher", school_id=1)) as other:
        rows = (await other.post(LOAD, json={"query": query})).json()["data"]
        assert [row["answers.id"] for row in rows] == ["1", "4", "7"]


_SLOW = """
cubes:
  - name: slow
    sql: SELECT number AS id FROM numbers(%s)
    measures: [{name: sum, sql: "%s", type: sum}]
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
"""


async def test_a_slow_question_is_answered_in_the_end(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(_SLOW % (6, "sleepEachRow(0.1)"), encoding="utf-8")
    app = application(load_catalog(tmp_path), bare_warehouse, Settings(query_threads=2, continue_wait_seconds=0.2))
    waits: list[Any] = []
    async with caller(app, Authorization=token()) as client:
        while "error" in (body := (await client.post(LOAD, json={"query": {"measures": ["slow.sum"]}})).json()):
            waits.append(body)
    assert body["data"] == [{"slow.sum": "0"}]
    assert len(waits) >= 2
    assert {wait["error"] for wait in waits} == {"Continue wait"}
    assert waits[0]["stage"] == "Executing query" and waits[-1]["timeElapsed"] > waits[0]["timeElapsed"] > 150


async def test_a_client_that_goes_away_stops_its_query(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(_SLOW % (10**11, "sipHash64({CUBE}.id)"), encoding="utf-8")
    app = application(load_catalog(tmp_path), bare_warehouse)
    gone = asyncio.Event()
    body = json.dumps({"query": {"measures": ["slow.sum"]}}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    headers = [(b"authorization", token().encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": LOAD, "headers": headers, "query_string": b""}
    request = asyncio.create_task(app({**scope, "scheme": "http", "server": ("test", 80)}, receive, send))
    running = (
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%numbers(1%' AND query NOT LIKE '%processes%'"
    )

    async def count() -> int:
        return int((await bare_warehouse.query(running)).result_rows[0][0])

    async with asyncio.timeout(10):
        while not await count():
            await asyncio.sleep(0.05)
        gone.set()
        await request
        while await count():
            await asyncio.sleep(0.05)


_PERCENT = """
cubes:
  - name: numbers
    sql: "SELECT number AS id, number % 3 AS rest FROM numbers(9) WHERE toString(number) LIKE '%%'"
    measures: [{name: count, type: count}]
    dimensions: [{name: id, sql: id, type: number, primary_key: true}, {name: rest, sql: rest, type: number}]
"""


@pytest.mark.parametrize("limit", [{}, {"limit": 2}, {"limit": 2, "offset": 1}])
async def test_a_total_over_sql_with_percent_signs(
    tmp_path: Path, bare_warehouse: Warehouse, limit: dict[str, int]
) -> None:
    (tmp_path / "model.yml").write_text(_PERCENT, encoding="utf-8")
    async with caller(application(load_catalog(tmp_path), bare_warehouse), Authorization=token()) as client:
        query = {"measures": ["numbers.count"], "dimensions": ["numbers.rest"], "total": True, **limit}
        answer = await client.post(LOAD, json={"query": query})
        assert (answer.status_code, answer.json()["total"]) == (200, 3)
