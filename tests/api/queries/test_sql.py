"""Questions in SQL over HTTP: JSON lines, nothing cut off, the caller's rows alone, stopped on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from core.settings import Settings
from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token
from tests.api.queries.test_bad_input import SLOW

CUBE = "/cubejs-api/v1"
_MODEL = """
cubes:
  - name: answers
    sql: >
      SELECT number AS id, number % 4 AS school, number % 10 AS room_id,
      concat('pupil ', toString(number % 100)) AS pupil,
      toDateTime64('2024-01-01 00:00:00', 3, 'UTC') + toIntervalHour(number) AS at, number % 7 = 0 AS late,
      if(number % 5 = 0, NULL, number % 3) AS grade FROM numbers(60000)
    joins: [{name: rooms, relationship: many_to_one, sql: "{CUBE}.room_id = {rooms}.id"}]
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: school, sql: school, type: number}
      - {name: pupil, sql: pupil, type: string}
      - {name: at, sql: at, type: time}
      - {name: late, sql: late, type: boolean}
      - {name: grade, sql: grade, type: number}
    measures:
      - {name: count, type: count}
      - {name: mean, sql: grade, type: avg, format: percent}
      - {name: spread, type: number, sql: "max({CUBE}.grade) - min({CUBE}.grade)"}
    segments: [{name: punctual, sql: "NOT {CUBE}.late"}]
    access_policy:
      - group: teacher
        member_level: {includes: "*", excludes: [pupil]}
        row_level: {filters: [{member: school, operator: equals, values: ["{security_context.school_ids}"]}]}
      - {group: operator, row_level: {allow_all: true}}
  - name: rooms
    sql: SELECT number AS id, concat('room ', toString(number)) AS name FROM numbers(12)
    dimensions: [{name: id, sql: id, type: number, primary_key: true}, {name: name, sql: name, type: string}]
    measures: [{name: count, type: count}]
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all the tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def clients(
    tmp_path_factory: pytest.TempPathFactory, clickhouse_folder: Path
) -> AsyncIterator[dict[str, httpx2.AsyncClient]]:
    """An operator's client, and a teacher's of school 1."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.yml").write_text(_MODEL, encoding="utf-8")
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=sql_answers", threads=2)
    app = application(load_catalog(folder), warehouse)
    teacher = token("teacher", school_id=1, attributes={"school_ids": [1]})
    async with caller(app, Authorization=token()) as one, caller(app, Authorization=teacher) as other:
        yield {"operator": one, "teacher": other}
    warehouse.close()


@pytest.fixture
def operator(clients: dict[str, httpx2.AsyncClient]) -> httpx2.AsyncClient:
    """He sees all rows."""
    return clients["operator"]


@pytest.fixture
def teacher(clients: dict[str, httpx2.AsyncClient]) -> httpx2.AsyncClient:
    """He sees a quarter of the rows, and no pupils."""
    return clients["teacher"]


async def lines(client: httpx2.AsyncClient, sql: str, **more: Any) -> list[dict[str, Any]]:
    """The answer line by line."""
    answer = await client.post(f"{CUBE}/cubesql", json={"query": sql, "throwContinueWait": True, **more})
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


async def rows(client: httpx2.AsyncClient, sql: str, **more: Any) -> list[list[Any]]:
    """The rows of all lines."""
    return [row for line in (await lines(client, sql, **more))[1:] for row in line["data"]]


async def test_the_first_line_is_the_schema_and_values_have_cubes_forms(operator: httpx2.AsyncClient) -> None:
    columns = "at, late, pupil, grade, MEASURE(count) AS n, MEASURE(mean)"
    sql = f"SELECT {columns} FROM answers WHERE id = 5 GROUP BY 1, 2, 3, 4"
    head, data = await lines(operator, sql)
    assert head["schema"] == [
        {"name": "at", "column_type": "Timestamp"},
        {"name": "late", "column_type": "Boolean"},
        {"name": "pupil", "column_type": "String"},
        {"name": "grade", "column_type": "Double"},
        {"name": "n", "column_type": "Int64"},
        {"name": "measure(answers.mean)", "column_type": "Double", "format": "percent"},
    ]
    assert datetime.fromisoformat(head["lastRefreshTime"]).tzinfo is not None
    assert data == {"data": [["2024-01-01T05:00:00.000", False, "pupil 5", None, "1", None]]}


async def test_no_row_is_one_empty_line(operator: httpx2.AsyncClient) -> None:
    assert (await lines(operator, "SELECT id FROM answers WHERE id < 0"))[1:] == [{"data": []}]
    assert (await lines(operator, "SELECT id FROM answers LIMIT 0"))[1:] == [{"data": []}]


async def test_without_a_limit_all_rows_come_or_none(operator: httpx2.AsyncClient) -> None:
    found = await rows(operator, "SELECT id FROM answers WHERE id < 30000")
    assert sorted(int(row[0]) for row in found) == list(range(30_000))
    assert len(await rows(operator, "SELECT id FROM answers WHERE id < 50000")) == 50_000
    refused = await operator.post(
        f"{CUBE}/cubesql", json={"query": "SELECT id FROM answers", "throwContinueWait": True}
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert len(await rows(operator, "SELECT id FROM answers LIMIT 50000")) == 50_000


async def test_a_column_may_come_twice_and_in_any_order(operator: httpx2.AsyncClient) -> None:
    sql = "SELECT COUNT(*), late AS a, late AS b FROM answers WHERE id < 14 GROUP BY late ORDER BY b DESC"
    assert await rows(operator, sql) == [["2", True, True], ["12", False, False]]


async def test_groups_may_be_hidden(operator: httpx2.AsyncClient) -> None:
    assert len(await rows(operator, "SELECT COUNT(*) FROM answers GROUP BY grade")) == 4


async def test_star_shows_what_the_caller_may_see_and_rows_have(
    operator: httpx2.AsyncClient, teacher: httpx2.AsyncClient
) -> None:
    names = [each["name"] for each in (await lines(operator, "SELECT * FROM answers LIMIT 1"))[0]["schema"]]
    assert names == ["id", "school", "pupil", "at", "late", "grade", "count", "mean"]
    seen = [each["name"] for each in (await lines(teacher, "SELECT * FROM answers LIMIT 1"))[0]["schema"]]
    assert seen == [name for name in names if name != "pupil"]
    both = await lines(operator, "SELECT a.id, r.* FROM answers a CROSS JOIN rooms r WHERE a.id = 3")
    assert both[1] == {"data": [["3", "room 3", "1"]]}


async def test_a_teacher_sees_his_rows_whatever_he_writes(teacher: httpx2.AsyncClient) -> None:
    assert await rows(teacher, "SELECT DISTINCT school FROM answers") == [["1"]]
    assert await rows(teacher, "SELECT COUNT(*) FROM answers") == [["15000"]]
    hidden = "SELECT COUNT(*) FROM answers WHERE school = 2 OR school <> 2 OR school IS NULL"
    assert await rows(teacher, hidden) == [["15000"]]
    joined = "SELECT r.name, MEASURE(a.count) FROM rooms r CROSS JOIN answers a GROUP BY 1"
    assert sum(int(row[1] or 0) for row in await rows(teacher, joined)) == 15_000


async def test_comments_say_nothing(operator: httpx2.AsyncClient) -> None:
    sql = "SELECT /* MEASURE(mean), */ COUNT(*) -- FROM rooms\nFROM answers WHERE pupil = 'x -- \n' /* OR late */;"
    assert await rows(operator, sql) == [["0"]]


async def test_days_are_those_of_the_time_zone(operator: httpx2.AsyncClient) -> None:
    sql = "SELECT COUNT(*) FROM answers WHERE at >= '2024-03-31' AND at < '2024-04-01'"
    assert await rows(operator, sql) == [["24"]]
    assert await rows(operator, sql, timezone="Europe/Vienna") == [["23"]]
    refused = await operator.post(f"{CUBE}/cubesql", json={"query": sql, "timezone": "Mars", "throwContinueWait": True})
    assert refused.status_code == 400 and "time zone" in refused.json()["error"]


async def test_an_exclusive_bound_stays_exclusive_where_the_clock_shows_an_hour_twice(
    operator: httpx2.AsyncClient,
) -> None:
    """2:30 comes twice on 27 October in Vienna, at 0:30 and 1:30 UTC; what is before it begins before the first one."""
    sql = "SELECT MAX_AT FROM answers".replace("MAX_AT", "at")
    both = f"{sql} WHERE at >= '2024-10-27 00:00' AND at < '2024-10-27 02:30' ORDER BY at DESC LIMIT 1"
    one = f"{sql} WHERE at < '2024-10-27 02:30' ORDER BY at DESC LIMIT 1"
    zone = "Europe/Vienna"
    assert await rows(operator, both, timezone=zone) == await rows(operator, one, timezone=zone)


async def test_convert_query_gives_what_load_takes(operator: httpx2.AsyncClient) -> None:
    sql = (
        "SELECT DATE_TRUNC('month', a.at) AS m, r.name, MEASURE(a.count) FROM answers a "
        "LEFT JOIN rooms r ON a.__cubeJoinField = r.__cubeJoinField WHERE a.at >= '2024-01-01' AND a.at < '2024-03-01' "
        "AND a.punctual IS TRUE AND r.name <> 'room 1' GROUP BY 1, 2 "
        "HAVING MEASURE(a.count) > 20 ORDER BY 3 DESC, m, 2 LIMIT 7"
    )
    asked = {"input": "sql", "output": "rest", "query": sql}
    answer = (await operator.post(f"{CUBE}/convert-query", json=asked)).json()
    assert answer == {
        "status": "ok",
        "query": {
            "measures": ["answers.count"],
            "dimensions": ["rooms.name"],
            "timeDimensions": [
                {
                    "dimension": "answers.at",
                    "granularity": "month",
                    "dateRange": ["2024-01-01T00:00:00.000", "2024-02-29T23:59:59.999"],
                }
            ],
            "filters": [
                {"member": "rooms.name", "operator": "notEquals", "values": ["room 1"]},
                {"member": "rooms.name", "operator": "set"},
                {"member": "answers.count", "operator": "gt", "values": ["20"]},
            ],
            "segments": ["answers.punctual"],
            "order": [["answers.count", "desc"], ["answers.at.month", "asc"], ["rooms.name", "asc"]],
            "timezone": "UTC",
            "limit": 7,
            "joinHints": [["answers", "rooms"]],
        },
    }
    loaded = (await operator.post(f"{CUBE}/load", json={"query": answer["query"]})).json()
    keys = ["answers.at.month", "rooms.name", "answers.count"]
    found = await rows(operator, sql)
    assert len(found) == 7 and [[row[key] for key in keys] for row in loaded["data"]] == found
    assert (await operator.get(f"{CUBE}/convert-query", params=asked)).json() == answer


@pytest.mark.parametrize(("key", "value"), [("input", "rest"), ("output", "sql"), ("input", None)])
async def test_convert_query_goes_one_way(key: str, value: str | None, operator: httpx2.AsyncClient) -> None:
    asked = {"input": "sql", "output": "rest", "query": "SELECT id FROM answers"} | {key: value}
    answer = await operator.post(f"{CUBE}/convert-query", json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"] == f"Unexpected {key} parameter value '{value or ''}'"


async def test_no_rollup_is_built_and_that_is_said(operator: httpx2.AsyncClient) -> None:
    usable = await operator.post(f"{CUBE}/pre-aggregations/can-use", json={"transformedQuery": {}, "references": {}})
    assert usable.status_code == 200 and usable.json()["canUsePreAggregationForTransformedQuery"] is False
    jobs = f"{CUBE}/pre-aggregations/jobs"
    selector = {"contexts": [{"securityContext": {}}], "timezones": ["UTC"]}
    built = await operator.post(jobs, json={"action": "post", "selector": selector})
    assert (built.status_code, built.json()["code"]) == (501, "not_built")
    assert (await operator.post(jobs, json={"action": "get", "tokens": ["a"]})).json() == []
    assert (await operator.post(jobs, json={"action": "get", "tokens": [], "resType": "object"})).json() == {}
    assert (await operator.post(jobs, json={"action": "drop"})).status_code == 400


async def test_a_question_in_sql_waits_and_is_stopped(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    (tmp_path / "model.yml").write_text(SLOW, encoding="utf-8")
    settings = Settings(query_threads=2, continue_wait_seconds=0.3)
    app = application(load_catalog(tmp_path), bare_warehouse, settings)
    asked = {"query": "SELECT MEASURE(sum) FROM slow"}
    async with caller(app, Authorization=token()) as client:
        waiting = await client.post(f"{CUBE}/cubesql", json=asked | {"throwContinueWait": True})
        assert waiting.status_code == 200 and waiting.json()["error"] == "Continue wait"
        headers = {"x-request-id": "sql-1"}
        stream = asyncio.create_task(client.post(f"{CUBE}/cubesql", json=asked, headers=headers))
        for _ in range(100):
            await asyncio.sleep(0.05)
            stopped = await client.delete(f"{CUBE}/running-query/sql-1")
            if stopped.status_code == 200:
                break
        assert stopped.json() in (
            {"requestId": "sql-1", "cancelled": 1, "result": True},
            {"requestId": "sql-1", "cancelled": 0, "result": False},  # the first one may still be waited for
        )
        assert (await client.delete(f"{CUBE}/running-query/sql-1")).status_code == 404
        stream.cancel()


_LONG = {
    "deep": "SELECT id FROM answers WHERE " + "(" * 3000 + "late" + ")" * 3000,
    "not": "SELECT id FROM answers WHERE " + "NOT " * 3000 + "late",
    "minus": "SELECT id FROM answers WHERE id = " + "- " * 3000 + "1",
    "calls": "SELECT " + "f(" * 3000 + "1" + ")" * 3000 + " FROM answers",
    "conditions": "SELECT id FROM answers WHERE " + " OR ".join(["id = 1"] * 1500),
    "connectors": "SELECT id FROM answers WHERE " + " OR ".join(["id = 1"] * 20_000),
    "is": "SELECT id FROM answers WHERE late " + "IS NULL " * 10_000,
    "casts": "SELECT id FROM answers WHERE id = '1'" + "::int" * 20_000,
    "columns": "SELECT " + ", ".join(["id"] * 20_000) + " FROM answers LIMIT 1",
    "text": "SELECT id FROM answers WHERE pupil = '" + "x" * 300_000 + "'",
    "values": "SELECT id FROM answers WHERE id IN (" + ", ".join(["1"] * 60_000) + ")",
}


@pytest.mark.parametrize("name", _LONG)
async def test_what_is_too_much_is_refused_soon(name: str, operator: httpx2.AsyncClient) -> None:
    started = asyncio.get_running_loop().time()
    answer = await operator.post(f"{CUBE}/cubesql", json={"query": _LONG[name], "throwContinueWait": True})
    assert answer.status_code == (200 if name == "columns" else 400), answer.text[:300]
    assert asyncio.get_running_loop().time() - started < 5


async def test_a_long_list_of_values_is_answered(operator: httpx2.AsyncClient) -> None:
    sql = f"SELECT COUNT(*) FROM answers WHERE id IN ({', '.join(map(str, range(0, 30_000, 2)))})"
    assert await rows(operator, sql) == [["15000"]]


_TEXTS = """
SELECT late , COUNT ( * ) FROM answers WHERE at >= '2024-01-01' GROUP BY 1 HAVING MEASURE ( mean ) > 0 ORDER BY 2
SELECT id , at , grade FROM answers WHERE NOT ( late OR grade IS NULL ) AND id BETWEEN 1 AND 20 AND punctual IS TRUE
SELECT DATE_TRUNC ( 'day' , at ) , name FROM answers CROSS JOIN rooms r WHERE r . name ILIKE 'r%' GROUP BY 1 , 2
SELECT DISTINCT late FROM answers WHERE grade IN ( 1 , 2 ) AND late = TRUE
"""
_WORDS = r"""
SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET AND OR NOT IN BETWEEN LIKE ILIKE IS NULL TRUE AS CROSS JOIN ON
DISTINCT CASE WHEN THEN END CAST OVER UNION ALL INTERVAL EXISTS ANY ARRAY VALUES TABLE answers rooms a id late at
pupil count mean punctual MEASURE COUNT SUM AVG DATE_TRUNC ( ) ( ) , , . * = <> < >= + - || :: ' '' " ; -- /* */
'day' '2024-01-01' 'x' 1 2.5 1e999 $1 ? {x} @ # \ é
"""


async def test_whatever_is_made_of_words_of_sql_is_answered_or_refused(teacher: httpx2.AsyncClient) -> None:
    random, codes = Random(3), set()
    texts = [text.split() for text in _TEXTS.strip().splitlines()]
    words = [*_WORDS.split(), "\x00", "\ud800", "\n"]
    for _ in range(600):
        text = list(random.choice(texts))
        for _ in range(random.choice([0, 1, 1, 2, 3, 8])):
            place = random.randrange(len(text))
            text[place : place + random.randint(0, 2)] = random.choices(words, k=random.randint(0, 2))
        body = json.dumps({"query": " ".join(text), "throwContinueWait": True})
        answer = await teacher.post(f"{CUBE}/cubesql", content=body)
        assert answer.status_code in (200, 400, 403), (text, answer.text)
        codes.add("" if answer.status_code == 200 else answer.json()["code"])
    assert {"", "invalid_sql", "unsupported_sql", "unknown_member"} <= codes
