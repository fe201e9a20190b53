"""/meta: who sees how cubes are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token

_MODEL = """
cubes:
  - name: marks
    sql: SELECT number AS id, number % 3 AS pupil FROM numbers(9)
    joins: [{name: pupils, relationship: many_to_one, sql: "{CUBE}.pupil = {pupils}.id"}]
    refresh_key: {every: 1 hour}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - name: level
        type: string
        case: {when: [{sql: "{CUBE}.pupil = 1", label: one}], else: {label: {sql: "'other'"}}}
      - {name: inner_key, sql: pupil, type: number, public: false}
    measures:
      - {name: sum, sql: id, type: sum, filters: [{sql: "{CUBE}.id > 1"}], drill_members: [id]}
      - {name: recent, sql: id, type: sum, rolling_window: {trailing: 3 day}}
    segments: [{name: first, sql: "{CUBE}.id = 1"}]
    pre_aggregations:
      - {name: main, measures: [sum], dimensions: [level], partition_granularity: month, external: true}
  - name: pupils
    sql_table: pupils
    dimensions: [{name: id, sql: id, type: number, primary_key: true}, {name: name, sql: name, type: string}]
    access_policy:
      - {group: admin, member_level: {includes: []}}
      - {group: operator}
  - {name: secret, sql_table: hidden, public: false, measures: [{name: count, type: count}]}
views:
  - {name: face, cubes: [{join_path: marks, includes: [sum, level]}, {join_path: marks.pupils, includes: [name]}]}
"""


@pytest.fixture
def app(tmp_path: Path, bare_warehouse: Warehouse) -> FastAPI:
    """Marks of pupils."""
    (tmp_path / "model.yml").write_text(_MODEL, encoding="utf-8")
    return application(load_catalog(tmp_path), bare_warehouse)


async def meta(app: FastAPI, role: str, extended: str = "?extended") -> dict[str, Any]:
    """The cubes and views that a role sees, by name."""
    async with caller(app, Authorization=token(role)) as client:
        cubes = (await client.get(f"/cubejs-api/v1/meta{extended}")).json()["cubes"]
    return {cube["name"]: cube for cube in cubes}


def member(cube: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """One member of a cube."""
    return dict(next(each for each in cube[kind] if each["name"].endswith(f".{name}")))


async def test_an_operator_sees_how_everything_is_made(app: FastAPI) -> None:
    cubes = await meta(app, "operator")
    marks, face = cubes["marks"], cubes["face"]
    assert marks["sql"].startswith("SELECT number") and marks["fileName"] == "model.yml"
    assert marks["joins"] == [{"name": "pupils", "relationship": "many_to_one", "sql": "{CUBE}.pupil = {pupils}.id"}]
    assert marks["refreshKey"] == {"every": "1 hour"}
    (rollup,) = marks["preAggregations"]
    assert rollup["measures"] == ["marks.sum"] and rollup["partitionGranularity"] == "month"
    assert "no Cube Store" in rollup["notes"][0]
    assert member(marks, "measures", "sum") | {"sql": "id", "filters": [{"sql": "{CUBE}.id > 1"}]} == member(
        marks, "measures", "sum"
    )
    assert member(marks, "measures", "recent")["rollingWindow"] == {"trailing": "3 day"}
    assert member(marks, "dimensions", "level")["case"] == {
        "when": [{"sql": "{CUBE}.pupil = 1", "label": "one"}],
        "else": {"label": {"sql": "'other'"}},
    }
    assert member(marks, "segments", "first")["sql"] == "{CUBE}.id = 1"
    assert member(face, "dimensions", "name")["joinPath"] == "marks.pupils"
    assert cubes["pupils"]["sqlTable"] == "pupils"
    assert "secret" not in cubes and "inner_key" not in str(marks["dimensions"])


async def test_others_get_the_plain_answer(app: FastAPI) -> None:
    assert await meta(app, "teacher") == await meta(app, "teacher", "")
    assert "sql" not in str(await meta(app, "teacher"))
    assert await meta(app, "operator", "?extended=false") == await meta(app, "operator", "")


async def test_who_sees_no_member_of_a_cube_sees_nothing_of_it(app: FastAPI) -> None:
    admin = await meta(app, "admin")
    assert "sql" in admin["marks"]
    assert "pupils" not in admin


async def test_members_of_a_hidden_cube_cannot_be_asked(app: FastAPI) -> None:
    async with caller(app, Authorization=token()) as client:
        for query in ({"measures": ["secret.count"]}, {"measures": ["secrt.count"]}):
            answer = await client.post("/cubejs-api/v1/load", json={"query": query})
            assert answer.status_code == 400
            assert answer.json()["code"] in ("hidden_member", "unknown_member")
        assert "secret" not in answer.json().get("hint", "")
