"""What nobody should send: refused quickly, with the right code, and the server is as before."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.bodies import BodyGuard
from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token

LOAD = "/cubejs-api/v1/load"
MAX_BYTES = 10_000_000
SECONDS = 1.5
"""How much processor time a refusal may take."""
_COUNT = {"measures": ["Orders.count"]}


@pytest.fixture
async def guarded(orders_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes behind the guard of bodies, as the whole application has it."""
    async with caller(BodyGuard(orders_app, MAX_BYTES), Authorization=token()) as client:  # type: ignore[arg-type]
        yield client


def nested(depth: int, conditions: int) -> Any:
    """So many conditions in groups, so deep."""
    tree: Any = {"and": [{"member": "Orders.status", "operator": "set"}] * (conditions // depth)}
    for _ in range(depth - 1):
        tree = {"or": [tree, *[{"member": "Orders.status", "operator": "set"}] * (conditions // depth)]}
    return tree


def values(count: int) -> Any:
    """A condition with so many values."""
    return {"member": "Customers.city", "operator": "in", "values": [str(number) for number in range(count)]}


def during(date_range: Any) -> Any:
    """A count in a range."""
    return {**_COUNT, "timeDimensions": [{"dimension": "Orders.createdAt", "dateRange": date_range}]}


def where(member: str, operator: str, value: Any) -> Any:
    """A count under a condition."""
    return {**_COUNT, "filters": [{"member": member, "operator": operator, "values": [value]}]}


def text(query: Any) -> str:
    """The body of a request, however deep."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        return json.dumps({"query": query})
    finally:
        sys.setrecursionlimit(limit)


_REFUSED: list[tuple[str, Any, int, str]] = [
    ("a million values", {**_COUNT, "filters": [values(1_000_000)]}, 400, "too_complex"),
    ("10,000 filters nested 500 deep", {**_COUNT, "filters": [nested(500, 10_000)]}, 400, "too_deep"),
    ("10,000 filters", {**_COUNT, "filters": [nested(1, 10_000)]}, 400, "too_complex"),
    ("a million measures", {"measures": ["Orders.count"] * 500_000}, 400, "too_complex"),
    ("10,000 ranges", {"timeDimensions": [{"dimension": "Orders.createdAt"}] * 10_000}, 400, "too_complex"),
    ("1,000 queries", [_COUNT] * 1000, 400, "invalid_query"),
    ("a body over the limit", {**_COUNT, "filters": [values(1_500_000)]}, 413, "too_large"),
    ("a quote in a name", {"measures": ["Orders.count`; DROP TABLE orders"]}, 400, "invalid_query"),
    ("a look-alike", {"measures": ["Orders.сount"]}, 400, "invalid_query"),
    ("a wide letter", {"measures": ["Orders.ｃount"]}, 400, "invalid_query"),
    ("another name", {"measures": ["__proto__.constructor"]}, 400, "unknown_member"),
    ("a number beyond all", {**_COUNT, "limit": 10**400}, 400, "invalid_query"),
    ("a zone with a path", {**_COUNT, "timezone": "../../etc/passwd"}, 400, "invalid_query"),
    ("a text of a megabyte as a date", during("1" * 10**6), 400, "invalid_date"),
    ("a date that is none", during(["2024-02-30"]), 400, "invalid_date"),
    ("a text for a number", where("Orders.count", "gt", "x"), 400, "invalid_query"),
    ("half a letter", where("Orders.status", "equals", "\ud800"), 400, "invalid_query"),
]


@pytest.mark.parametrize(("what", "query", "status", "code"), _REFUSED, ids=[row[0] for row in _REFUSED])
async def test_is_refused_quickly(guarded: httpx2.AsyncClient, what: str, query: Any, status: int, code: str) -> None:
    body = text(query).encode()
    started = time.process_time()
    answer = await guarded.post(LOAD, content=body, headers={"Content-Type": "application/json"})
    taken = time.process_time() - started
    if code == "invalid_query" and answer.json().get("code") == "invalid_json":
        code = "invalid_json"  # the guard of bodies was first
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text[:500]
    assert taken < SECONDS
    assert len(answer.content) < 3000, "a refusal does not repeat what was sent"
    assert (await guarded.post(LOAD, json={"query": _COUNT})).status_code == 200


async def test_a_hundred_thousand_values_are_answered(guarded: httpx2.AsyncClient) -> None:
    query = {"measures": ["Orders.count"], "filters": [values(90_000)]}
    started = time.process_time()
    answer = await guarded.post(LOAD, json={"query": query})
    assert answer.status_code == 200 and time.process_time() - started < 5


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (json.dumps({"query": _COUNT}), "text/plain", 200),
        (json.dumps({"query": _COUNT}), "application/x-www-form-urlencoded", 200),
        (json.dumps({"query": _COUNT}), "application/octet-stream", 200),
        ("query=%7B%7D", "application/x-www-form-urlencoded", 400),
        ("<query/>", "application/xml", 400),
        ("\x1f\x8b\x08\x00", "application/gzip", 400),
        ('{"query": {"measures": ["Orders.count"]}', "application/json", 400),
        ('{"query": NaN}', "application/json", 400),
        ("[" * 100_000, "text/plain", 400),
        ("[" * 100_000, "application/json", 400),
        ("", "application/json", 400),
    ],
)
async def test_what_the_body_is_called_does_not_matter(
    guarded: httpx2.AsyncClient, content: str, kind: str, status: int
) -> None:
    answer = await guarded.post(LOAD, content=content.encode("latin-1"), headers={"Content-Type": kind})
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"]


@pytest.mark.parametrize("query", ["%00", "{", "[[[[", "%ff%fe", "null", "undefined", '"x"'])
async def test_an_address_that_holds_no_query(guarded: httpx2.AsyncClient, query: str) -> None:
    answer = await guarded.get(f"{LOAD}?query={query}")
    assert answer.status_code == 400 and answer.json()["error"]


async def test_sql_is_not_taken_for_a_query(guarded: httpx2.AsyncClient) -> None:
    answer = await guarded.get("/cubejs-api/v1/sql", params={"format": "sql", "query": "SELECT 1"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


async def test_memory_stays_flat(guarded: httpx2.AsyncClient) -> None:
    bodies = [body for body in (text(query) for _, query, _, _ in _REFUSED) if len(body) < 100_000]

    async def round_() -> None:
        for number, body in enumerate(bodies * 3):
            unlike = body.replace("Orders.count", f"Orders.count{number}")
            for each in (body, unlike):
                await guarded.post(LOAD, content=each, headers={"Content-Type": "application/json"})

    await round_()
    tracemalloc.start()
    try:
        await round_()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            await round_()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 2_000_000


_WINDOWS = """
cubes:
  - name: ticks
    sql: SELECT number AS id, toDateTime('2024-01-01') + number * 60 AS at FROM numbers(2000)
    dimensions: [{name: id, sql: id, type: number, primary_key: true}, {name: at, sql: at, type: time}]
    measures: [{name: recent, sql: id, type: sum, rolling_window: {trailing: 1 hour}}]
"""


def series(granularity: str, first: str, last: str) -> Any:
    """A rolling sum at every point of a range."""
    time_ = {"dimension": "ticks.at", "granularity": granularity, "dateRange": [first, last]}
    return {"measures": ["ticks.recent"], "timeDimensions": [time_]}


async def test_a_series_of_billions_is_refused(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(_WINDOWS, encoding="utf-8")
    async with caller(application(load_catalog(tmp_path), bare_warehouse), Authorization=token()) as client:
        started = time.process_time()
        answer = await client.post(LOAD, json={"query": series("second", "1950-01-01", "2049-12-31")})
        assert time.process_time() - started < SECONDS
        assert answer.json()["code"] in ("unanswerable", "too_large", "too_complex")


async def test_a_series_of_a_day_is_answered(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(_WINDOWS, encoding="utf-8")
    async with caller(application(load_catalog(tmp_path), bare_warehouse), Authorization=token()) as client:
        answer = await client.post(LOAD, json={"query": series("hour", "2024-01-01", "2024-01-01")})
        assert answer.status_code == 200 and len(answer.json()["data"]) == 24


SLOW = """
cubes:
  - name: slow
    sql: SELECT number AS id FROM numbers(100000000000)
    measures: [{name: sum, sql: "sipHash64({CUBE}.id)", type: sum}]
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
"""


async def test_a_running_question_is_stopped_by_its_request_id(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(SLOW, encoding="utf-8")
    app = application(load_catalog(tmp_path), bare_warehouse)
    async with caller(app, Authorization=token()) as client, caller(app, Authorization=token("admin")) as other:
        headers = {"x-request-id": "4711-span-1"}
        running = asyncio.create_task(client.post(LOAD, json={"query": {"measures": ["slow.sum"]}}, headers=headers))
        await asyncio.sleep(0.5)
        path = "/cubejs-api/v1/running-query/4711"
        assert (await other.delete(path)).status_code == 404, "it is not his"
        assert (await client.delete(path)).json() == {"requestId": "4711", "cancelled": 1, "result": True}
        answer = await asyncio.wait_for(running, 10)
        assert (answer.status_code, answer.json()["code"]) == (400, "cancelled")
        assert (await client.delete(path)).json()["code"] == "not_found"
    async with caller(app) as stranger:
        assert (await stranger.delete(path)).status_code == 403
