"""The unmodified npm client reads our answers as it read Cube's, in all three response formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.npm.conftest import Ask
from tests.shared import SHARED

_FOLDER = SHARED / "cases" / "cube_wire" if SHARED else None
_RECORDED = datetime(2026, 11, 22, 15, 20, 36, tzinfo=UTC)
FORMATS = ("default", "compact", "columnar")
OUR_OWN_ANSWER = {
    "filter_beforeOrOnDate": "«on or before a day» takes in the whole day",
    "sql": "our SQL is another",
    "dry_run": "transformedQueries are the inner state of Cube's rollups",
}


@pytest.fixture(autouse=True)
def _recorded_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.clock.now", lambda: _RECORDED)


def cases() -> list[dict[str, Any]]:
    """The recorded calls of the client."""
    paths = sorted(_FOLDER.glob("*.json")) if _FOLDER else []
    found = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    return [case for case in found if case["op"] != "raw"]


def call(case: dict[str, Any], response_format: str | None = None) -> dict[str, Any]:
    """The call that was recorded, perhaps in another response format."""
    asked = {"op": case["op"], "query": case.get("query"), "decompose": isinstance(case["client"], list)}
    asked["cache"] = case["wire"][0]["request"]["params"].get("cache")
    wanted = case["wire"][0]["request"]["params"].get("query") or {}
    response_format = response_format or wanted.get("responseFormat")
    if response_format and isinstance(asked["query"], dict):
        asked["query"] = {**asked["query"], "responseFormat": response_format}
    return asked


def test_client_makes_of_our_answers_what_it_made_of_recorded_ones(ask: Ask) -> None:
    found = [case for case in cases() if case["name"] not in OUR_OWN_ANSWER]
    if not found:
        pytest.skip("needs shared data: cases/cube_wire is not on this machine")
    wrong = [
        f"{case['name']} {key}"
        for case, ours in zip(found, ask([call(case) for case in found]), strict=True)
        for key in _differing(case["client"], ours)
    ]
    assert wrong == []


def test_client_reads_the_same_from_all_three_response_formats(ask: Ask) -> None:
    found = [case for case in cases() if case["op"] == "load" and "clientError" not in case["client"]]
    if not found:
        pytest.skip("needs shared data: cases/cube_wire is not on this machine")
    answers = {name: ask([call(case, name) for case in found]) for name in FORMATS}
    for index, case in enumerate(found):
        default, compact, columnar = (_without_format(answers[name][index]) for name in FORMATS)
        assert "clientError" not in default, case["name"]
        assert compact == default, case["name"]
        assert columnar == default, case["name"]


def test_client_blends_queries_in_all_three_response_formats(ask: Ask, live_url: str) -> None:
    time = {"dimension": "Orders.createdAt", "granularity": "month", "dateRange": ["2025-01-01", "2025-03-31"]}
    queries = [
        {"measures": ["Orders.count"], "timeDimensions": [time]},
        {"measures": ["Orders.paidCount"], "timeDimensions": [time]},
    ]
    calls = [{"op": "load", "query": [{**query, "responseFormat": name} for query in queries]} for name in FORMATS]
    answers = ask(calls)
    months = ["2025-01-01T00:00:00.000", "2025-02-01T00:00:00.000", "2025-03-01T00:00:00.000"]
    for answer in answers:
        assert [row["x"] for row in answer["chartPivot"]] == months
        assert all(row["Orders.count"] > row["Orders.paidCount"] > 0 for row in answer["chartPivot"])


def test_client_gets_sql_and_dry_run(ask: Ask) -> None:
    query = {"measures": ["Orders.count"], "dimensions": ["Customers.city"]}
    sql, dry_run, refused = ask(
        [
            {"op": "sql", "query": query},
            {"op": "dryRun", "query": query},
            {"op": "load", "query": {"measures": ["Orders.cuont"]}},
        ]
    )
    assert sql.startswith("SELECT")
    assert dry_run["normalizedQueries"][0]["measures"] == ["Orders.count"]
    assert dry_run["queryOrder"] == [{"Orders.count": "desc"}]
    assert refused["status"] == 400
    assert "Orders.count" in refused["response"]["hint"]


_SQL = """
SELECT status, MEASURE(count) AS n, AVG(avgAmount) FROM Orders WHERE createdAt < '2025-02-01' GROUP BY 1 ORDER BY 1
"""


def test_client_asks_in_sql(ask: Ask) -> None:
    whole, stream, many, none = ask(
        [
            {"op": "cubeSql", "query": _SQL, "timezone": "Europe/Vienna", "cache": "no-cache"},
            {"op": "cubeSqlStream", "query": _SQL, "timezone": "Europe/Vienna"},
            {"op": "cubeSqlStream", "query": "SELECT id FROM Orders"},
            {"op": "cubeSql", "query": "SELECT id FROM Orders WHERE status IS NULL"},
        ]
    )
    assert [(each["name"], each["column_type"]) for each in whole["schema"]] == [
        ("status", "String"),
        ("n", "Int64"),
        ("avg(Orders.avgAmount)", "Double"),
    ]
    assert [row[0] for row in whole["data"]] == ["new", "paid", "returned", "shipped"]
    assert all(int(row[1]) > 0 and float(row[2]) > 0 for row in whole["data"])
    assert datetime.fromisoformat(whole["lastRefreshTime"]).tzinfo is not None
    assert [each["type"] for each in stream] == ["schema", "data"]
    assert (stream[0]["schema"], stream[1]["data"]) == (whole["schema"], whole["data"])
    assert len([row for each in many for row in each.get("data", ())]) == 10_000 and len(many) > 10
    assert none["data"] == []


def test_client_hears_what_is_wrong_with_sql(ask: Ask) -> None:
    sql = "SELECT status, MEASURE(cuont) FROM Orders GROUP BY 1"
    whole, stream = ask([{"op": "cubeSql", "query": sql}, {"op": "cubeSqlStream", "query": sql}])
    assert whole["status"] == 400 and whole["clientError"] == "'cuont' not found for path 'Orders.cuont'"
    assert (whole["response"]["line"], whole["response"]["column"]) == (1, 24)
    assert stream == [{"type": "error", "error": "'cuont' not found for path 'Orders.cuont'"}]


def _differing(recorded: Any, ours: Any) -> Iterator[str]:
    if isinstance(recorded, list):
        for index, (one, other) in enumerate(zip(recorded, ours, strict=True)):
            yield from (f"[{index}].{key}" for key in _differing(one, other))
        return
    for key, value in recorded.items():
        if key == "response":
            yield from () if value["error"] == ours["response"]["error"] else [key]
        elif key == "cubes":
            yield from () if value == [name for name in ours[key] if name != "Lonely"] else [key]
        elif _sorted(value) != _sorted(ours.get(key)):
            yield key


def _sorted(value: Any) -> Any:
    """Rows in an order of their own: Cube's order of equal rows is chance."""
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_sorted(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if _rows(items) else items
    return value


def _rows(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _without_format(answer: Any) -> str:
    if isinstance(answer, list):
        return json.dumps([_without_format(each) for each in answer])
    kept = {key: value for key, value in answer.items() if key not in ("query", "pivotQuery")}
    return json.dumps(_sorted(kept), sort_keys=True)
