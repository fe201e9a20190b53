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
from engine import SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import command, comparable, query_of, run, same_rows, script
from tests.engine.expected import parameters, right_rows
from tests.engine.metricflow.model import Model
from tests.engine.metricflow.question import Question
from tests.shared import SHARED, shared

_MORE = yaml.safe_load((Path(__file__).parent / "data" / "metricflow_more.yml").read_text())
_FOLDER = (SHARED or Path("absent")) / "cases" / "metricflow"


def _cases() -> list[dict[str, Any]]:
    path = _FOLDER / "cases.json"
    cases = json.loads(path.read_text()) if path.exists() else []
    return [case for case in cases if _expected(case) is not None]


def _expected(case: dict[str, Any]) -> dict[str, Any] | None:
    if "expected" in case:
        return case["expected"]  # type: ignore[no-any-return]
    path = _FOLDER / case.get("expected_file", f"expected/{case['id'].replace('/', '__')}.json")
    return json.loads(path.read_text()) if path.exists() else None


@cache
def _model(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = _FOLDER / "models"
    return yaml.safe_load((folder / f"{name}.cubes.yml").read_text()), json.loads((folder / f"{name}.json").read_text())


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


@cache
def _texts() -> dict[str, list[str]]:
    """The columns of each table that the case's own database keeps as texts."""
    declared = (_FOLDER / "ddl_clickhouse.sql").read_text()
    tables = re.findall(r"CREATE TABLE (\w+) \((.*)\) ENGINE", declared)
    return {name: re.findall(r"`(\w+)` Nullable\(String\)", columns) for name, columns in tables}


class _Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.mark.parametrize("case", parameters("metricflow", _cases()))
def test_metricflow_cases(case: dict[str, Any], tables: Warehouse) -> None:
    expected = _expected(case)
    assert expected is not None
    recorded = [[_value(value) for value in row] for row in expected["rows"]]
    _compare(_rows(case, tables), right_rows("metricflow", case, recorded))


@pytest.mark.parametrize(
    ("metric", "granularity", "sql"),
    [(each["metric"], granularity, each["sql"]) for each in _MORE for granularity in each["granularities"]],
)
def test_metrics_by_longer_periods(metric: str, granularity: str, sql: str, tables: Warehouse) -> None:
    document, source = _model("SIMPLE_MODEL")
    time = f"{metric.partition('.')[0]}.{Model(document, source).time_of(metric)}"
    asked = {"measures": [metric], "timeDimensions": [{"dimension": time, "granularity": granularity}]}
    case = {"cube_query": asked, "facts": [metric.partition(".")[0]], "metric_time": {metric: [time]}}
    rows = _rows({"model": "SIMPLE_MODEL", "resolved_group_bys": [], **case}, tables)
    found = tables.call(lambda client: client.query(sql.replace("{g}", granularity)))
    _compare(rows, [[_value(comparable(value)) for value in row] for row in found.result_rows])


def _rows(case: dict[str, Any], tables: Warehouse) -> list[list[Any]]:
    document, source = _model(case["model"])
    model, query = Question(case, Model(document, source, _texts())).translated()
    catalog = load_texts({case["model"]: yaml.dump(model, Dumper=_Plain, sort_keys=False)})
    return [list(row.values()) for row in run(tables, compile_query(catalog, query_of(query), SecurityContext()))]


def _compare(rows: list[list[Any]], wanted: list[list[Any]]) -> None:
    assert same_rows(*_aligned(rows, wanted), ordered=False), f"\n got {rows[:20]}\nwant {wanted[:20]}"


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
