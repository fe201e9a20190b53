"""What a caller is told beside rows: no names that he may not ask for, no row filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.queries.meta import meta_body
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, load_catalog
from engine.query.access import may_ask
from tests.api.queries.conftest import application, caller, token

_MODELS = Path(__file__).resolve().parents[3] / "semantic_models"
ROLES = ["student", "teacher", "admin", "analyst", "operator"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The product's own models."""
    return load_catalog(_MODELS)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_meta_names_only_what_may_be_asked(role: str, extended: bool, catalog: Catalog) -> None:
    context = SecurityContext(frozenset({role}), {"user_id": 1, "school_ids": [1]})
    named = 0
    for cube in meta_body(catalog, context, extended=extended)["cubes"]:
        names = [each["name"] for kind in ("measures", "dimensions", "segments") for each in cube[kind]]
        names += [name for each in cube["measures"] for name in each["drillMembers"]]
        names += [name for each in cube["measures"] for some in each["drillMembersGrouped"].values() for name in some]
        names += [name for each in cube["hierarchies"] for name in each["levels"]]
        names += [f"{cube['name']}.{name}" for each in cube["folders"] for name in each["members"]]
        assert [name for name in names if not may_ask(catalog, context, name)] == []
        named += len(names)
    assert named > 100


_MODEL = """
cubes:
  - name: pupils
    sql: SELECT number AS id, number % 3 AS school FROM numbers(9)
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: school, sql: school, type: number}
      - {name: secret, sql: id, type: number}
    measures:
      - {name: count, type: count, drill_members: [id, secret]}
      - {name: broken, type: number, sql: "sum(toUInt8(concat('x', toString({CUBE}.school))))"}
    access_policy:
      - group: teacher
        member_level: {includes: "*", excludes: [secret]}
        row_level: {filters: [{member: school, operator: equals, values: ["{security_context.school_ids}"]}]}
      - {group: operator, row_level: {allow_all: true}}
"""
_TEACHER = {"school_id": 1, "attributes": {"school_ids": [1, 987654321]}}


@pytest.fixture
def small(tmp_path: Path, bare_warehouse: Warehouse) -> Any:
    """Pupils whose school the teacher must not read of in any message."""
    (tmp_path / "model.yml").write_text(_MODEL, encoding="utf-8")
    return application(load_catalog(tmp_path), bare_warehouse)


@pytest.mark.parametrize("path", ["load", "sql", "dry-run"])
@pytest.mark.parametrize("measure", ["count", "broken"])
async def test_nothing_quotes_the_row_filter(path: str, measure: str, small: Any) -> None:
    query = {"query": {"measures": [f"pupils.{measure}"]}}
    async with caller(small, Authorization=token("teacher", **_TEACHER)) as client:
        answer = await client.post(f"/cubejs-api/v1/{path}", json=query)
    assert "987654321" not in answer.text and "school" not in answer.text and "secret" not in answer.text
    if path == "sql":
        assert answer.status_code == 403 and answer.json()["code"] == "access_denied"
    if path == "load" and measure == "broken":
        assert answer.json()["error"] == "A value does not fit the type of the member with which it is compared."


async def test_an_operator_reads_the_sql_and_the_stores_own_words(small: Any) -> None:
    async with caller(small, Authorization=token("operator")) as client:
        sql = await client.post("/cubejs-api/v1/sql", json={"query": {"measures": ["pupils.count"]}})
        broken = await client.post("/cubejs-api/v1/load", json={"query": {"measures": ["pupils.broken"]}})
    assert "numbers" in sql.json()["sql"]["sql"][0]
    assert "Code: " in broken.json()["error"]
