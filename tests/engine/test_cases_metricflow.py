"""MetricFlow's integration questions, asked in our format, give the rows of their check SQL."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import command, comparable, query_of, run, same_rows, script
from tests.engine.expected import parameters
from tests.shared import SHARED, shared

_FOLDER = (SHARED or Path("absent")) / "cases" / "metricflow"
_KEEP = {
    "dimensions": {"name", "sql", "type", "primary_key"},
    "joins": {"name", "relationship", "sql"},
    "measures": {"name", "sql", "type", "filters", "rolling_window"},
}
_KNOWN = {"sum", "count", "count_distinct", "avg", "min", "max", "number"}
_BEYOND = {"non_additive", "join_to_timespine", "fill_nulls_with", "period_agg"}


def _cases() -> list[dict[str, Any]]:
    path = _FOLDER / "cases.json"
    cases = json.loads(path.read_text()) if path.exists() else []
    return [case for case in cases if case["cube_query"] is not None and _expected(case) is not None]


def _expected(case: dict[str, Any]) -> dict[str, Any] | None:
    if "expected" in case:
        return case["expected"]  # type: ignore[no-any-return]
    path = _FOLDER / case.get("expected_file", f"expected/{case['id'].replace('/', '__')}.json")
    return json.loads(path.read_text()) if path.exists() else None


@cache
def _catalog(model: str) -> Catalog:
    """The model in Cube's own keys: ratios and derived metrics as formulas, the rest left out."""
    document = yaml.safe_load((_FOLDER / "models" / f"{model}.cubes.yml").read_text())
    for cube in document["cubes"]:
        cube["measures"] = [found for found in map(_measure, cube.get("measures", [])) if found]
        for key, kept in _KEEP.items():
            cube[key] = [{name: value for name, value in each.items() if name in kept} for each in cube.get(key, [])]
    return load_texts({model: yaml.safe_dump(document, sort_keys=False)})


def _measure(measure: dict[str, Any]) -> dict[str, Any] | None:
    if _BEYOND & set(measure) or any("{{" in each["sql"] for each in measure.get("filters", [])):
        return None
    if measure["type"] == "ratio":
        sides = [measure["numerator"], measure["denominator"]]
        if any(set(side) - {"measure"} for side in sides) or measure.get("filters"):
            return None
        return {
            "name": measure["name"],
            "type": "number",
            "sql": " / ".join(f"{{{side['measure']}}}" for side in sides),
        }
    if measure["type"] == "derived":
        return _derived(measure)
    if measure["type"] == "percentile":
        function = "quantileExactLow" if measure.get("use_discrete_percentile") else "quantileExactInclusive"
        sql = f"{function}({measure['percentile']})({measure['sql']})"
        return {"name": measure["name"], "type": "number", "sql": sql}
    return measure if measure["type"] in _KNOWN else None


def _derived(measure: dict[str, Any]) -> dict[str, Any] | None:
    sql = measure["sql"]
    for use in measure["uses"]:
        if set(use) - {"measure", "alias"} or measure.get("filters"):
            return None
        name = use.get("alias") or use["measure"].split(".")[-1]
        sql = re.sub(rf"(?<![\w.{{]){re.escape(name)}\b", f"{{{use['measure']}}}", sql)
    return {"name": measure["name"], "type": "number", "sql": sql}


@pytest.fixture(scope="module")
def tables(clickhouse_folder: Path) -> Any:
    """MetricFlow's tables."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=metricflow", threads=1)
    script(warehouse, shared("cases", "metricflow", "ddl_clickhouse.sql").read_text())
    for path in sorted(shared("cases", "metricflow", "tables").glob("*.csv")):
        with path.open("rb") as rows:
            _insert(warehouse, path.stem, rows.read())
    yield warehouse
    command(warehouse, "USE default")
    command(warehouse, "DROP DATABASE metricflow")
    warehouse.close()


def _insert(warehouse: Warehouse, table: str, rows: bytes) -> None:
    warehouse.call(lambda client: client.raw_insert(table, insert_block=rows, fmt="CSVWithNames"))


@pytest.mark.parametrize("case", parameters("metricflow", _cases()))
def test_metricflow_cases(case: dict[str, Any], tables: Warehouse) -> None:
    statement = compile_query(
        _catalog(case["model"]), query_of({**case["cube_query"], "limit": 50000}), SecurityContext()
    )
    rows = [list(row.values()) for row in run(tables, statement)]
    expected = _expected(case)
    assert expected is not None
    wanted = [[_value(value) for value in row] for row in expected["rows"]]
    assert same_rows(*_aligned(rows, wanted), ordered=False), f"\n got {rows[:20]}\nwant {wanted[:20]}\n{statement.sql}"


def _aligned(rows: list[list[Any]], wanted: list[list[Any]]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Both with the values of each row in one order: the two name and order their columns differently."""
    key = [
        lambda value: (
            value is not None,
            isinstance(value, str),
            str(value) if isinstance(value, str) else f"{value or 0:030.6f}",
        )
    ]
    rows = [sorted((_value(value) for value in row), key=key[0]) for row in rows]
    return rows, [sorted(row, key=key[0]) for row in wanted]


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?)?", value):
        return value[:10] + "T" + (value[11:] or "00:00:00").split(".")[0]
    return comparable(value)
