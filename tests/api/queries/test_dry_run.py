"""/dry-run: what a question would read by ClickHouse's own estimate, and which rollup could serve it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token

DRY_RUN, LOAD = "/cubejs-api/v1/dry-run", "/cubejs-api/v1/load"
_MODEL = """
cubes:
  - name: visits
    sql_table: visits
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: page, sql: page, type: string}
      - {name: at, sql: at, type: time}
    measures: [{name: count, type: count}, {name: pages, sql: page, type: count_distinct}]
    pre_aggregations:
      - {name: daily, measures: [count], time_dimension: at, granularity: day, external: true}
      - {name: all_pages, measures: [count, pages]}
  - name: memory
    sql: SELECT number AS id FROM numbers(5)
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
    measures: [{name: sum, sql: id, type: sum}]
  - name: gone
    sql_table: nowhere
    measures: [{name: count, type: count}]
"""
_ROWS = 100_000


@pytest.fixture
async def visits(tmp_path: Path, bare_warehouse: Warehouse) -> Any:
    """A hundred thousand visits, ordered by id, each column in a file of its own."""
    await bare_warehouse.command(
        "CREATE TABLE visits (id UInt64, page String, at DateTime) ENGINE = MergeTree ORDER BY id "
        "SETTINGS min_bytes_for_wide_part = 0"
    )
    await bare_warehouse.command(
        f"INSERT INTO visits SELECT number, repeat('x', 50), toDateTime('2024-01-01') + number FROM numbers({_ROWS})"
    )
    (tmp_path / "model.yml").write_text(_MODEL, encoding="utf-8")
    async with caller(application(load_catalog(tmp_path), bare_warehouse), Authorization=token()) as client:
        yield client


async def ask(client: httpx2.AsyncClient, query: Any) -> dict[str, Any]:
    """The answer of a dry run."""
    answer = await client.post(DRY_RUN, json={"query": query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_cost_is_what_clickhouse_would_read(visits: httpx2.AsyncClient) -> None:
    cost = (await ask(visits, {"measures": ["visits.count"], "dimensions": ["visits.page"]}))["cost"]
    assert (cost["rows"], cost["parts"]) == (_ROWS, 1)
    assert cost["marks"] > 1
    assert 50 * _ROWS <= cost["bytes"] <= 70 * _ROWS, "the pages, and not the other columns"
    (table,) = cost["queries"][0]["tables"]
    assert (table["table"], table["rows"]) == ("visits", _ROWS)


async def test_a_filter_on_the_sorting_key_makes_it_cheaper(visits: httpx2.AsyncClient) -> None:
    few = {"member": "visits.id", "operator": "lt", "values": [1000]}
    cost = (await ask(visits, {"dimensions": ["visits.page"], "filters": [few]}))["cost"]
    assert 1000 <= cost["rows"] < _ROWS / 5


async def test_every_query_of_a_list_is_told_and_the_sum(visits: httpx2.AsyncClient) -> None:
    time = [{"dimension": "visits.at", "granularity": "day"}]
    queries = [{"measures": [name], "timeDimensions": time} for name in ("visits.count", "visits.pages")]
    told = await ask(visits, queries)
    assert told["queryType"] == "blendingQuery" and len(told["normalizedQueries"]) == 2
    assert told["cost"]["rows"] == 2 * _ROWS
    assert [query["rows"] for query in told["cost"]["queries"]] == [_ROWS, _ROWS]
    assert [(each["query"], each["name"], each["matches"]) for each in told["rollups"]] == [
        (0, "visits.daily", True),
        (0, "visits.all_pages", False),
        (1, "visits.daily", False),
        (1, "visits.all_pages", False),
    ]


async def test_compared_ranges_are_queries_too(visits: httpx2.AsyncClient) -> None:
    time = {"dimension": "visits.at", "compareDateRange": ["2024-01-01", ["2024-01-01", "2024-01-02"]]}
    told = await ask(visits, {"measures": ["visits.count"], "timeDimensions": [time]})
    assert len(told["cost"]["queries"]) == len(told["queryOrder"]) == 2


@pytest.mark.parametrize(
    ("measure", "problem"),
    [
        ("memory.sum", "of other tables ClickHouse gives no estimate"),
        ("gone.count", "ClickHouse gives no estimate: Code: 60"),
    ],
)
async def test_without_an_estimate_the_reason_is_told(visits: httpx2.AsyncClient, measure: str, problem: str) -> None:
    cost = (await ask(visits, {"measures": [measure]}))["cost"]
    assert cost["rows"] == 0
    assert problem in cost["queries"][0]["problem"]


async def test_a_rollup_that_could_serve_is_told_and_that_it_does_not(visits: httpx2.AsyncClient) -> None:
    told = await ask(visits, {"measures": ["visits.count"]})
    daily, whole = told["rollups"]
    assert (daily["matches"], daily["preferred"], daily["built"]) == (True, False, False)
    assert (whole["matches"], whole["preferred"], whole["built"]) == (True, True, False)
    assert whole["reason"].endswith("It is not built: the answer comes from the raw tables.")
    assert "no Cube Store" in daily["notes"][0]
    assert told["usedPreAggregations"] == {}
    by_page = await ask(visits, {"measures": ["visits.count"], "dimensions": ["visits.page"]})
    assert {each["reason"] for each in by_page["rollups"]} == {
        "It does not keep 'visits.page', by which the query groups."
    }


async def test_nothing_is_run_and_what_load_refuses_is_refused(visits: httpx2.AsyncClient) -> None:
    for wrong in ({"measures": ["visits.cuont"]}, {}, {"measures": ["visits.count"], "limit": 10**6}):
        refused = await visits.post(DRY_RUN, json={"query": wrong})
        loaded = await visits.post(LOAD, json={"query": wrong})
        assert (refused.status_code, refused.json()) == (loaded.status_code, loaded.json())
    by_get = await visits.get(DRY_RUN, params={"query": json.dumps({"measures": ["gone.count"]})})
    assert by_get.status_code == 200, "the table is not looked at"
