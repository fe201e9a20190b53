"""Apache Ossie's vectors: foundational semantics, asked in our format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError
from core.warehouse import Warehouse
from engine import Catalog, Query
from engine.model import load_texts
from engine.query.request import Order
from tests.engine.asking import ask, command, comparable, insert, same_rows
from tests.engine.expected import parameters
from tests.shared import SHARED

_FILE = (SHARED or Path("absent")) / "cases" / "ossie" / "vectors.json"
_VECTORS: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.exists() else {"tests": [], "fixtures": {}}
_MEASURE = re.compile(r"^(SUM|AVG|MIN|MAX|COUNT)\((DISTINCT )?([a-z_]+)\.([a-z_]+)\)\s+AS\s+(\w+)$")
_TYPES = {"SUM": "sum", "AVG": "avg", "MIN": "min", "MAX": "max", "COUNT": "count"}


class NotInOurFormat(Exception):
    """The vector asks for something that the query format here has no word for."""


def _cases() -> list[dict[str, Any]]:
    return [case for case in _VECTORS["tests"] if case["status"] in ("rows", "error")]


@pytest.mark.parametrize("case", parameters("ossie", _cases()))
def test_ossie_vectors(case: dict[str, Any], bare_warehouse: Warehouse) -> None:
    asked = yaml.safe_load(case["query"] or "") if case["query"] else None
    if not isinstance(asked, dict) or set(asked) - {"Dimensions", "Measures"} or case.get("model_additions"):
        raise NotInOurFormat(case["query"])
    fixture = _VECTORS["fixtures"][case["fixture"] or "F-PRELUDE"]
    measures = [_measure(text) for text in asked.get("Measures") or ()]
    catalog = _catalog(fixture, measures)
    query = Query(
        measures=tuple(f"{cube}.{name}" for cube, _, name, _ in measures),
        dimensions=tuple(asked.get("Dimensions") or ()),
        order=tuple(Order(name) for name in asked.get("Dimensions") or ()),
    )
    if case["status"] == "error":
        with pytest.raises(EduError):
            ask(bare_warehouse, catalog, query)
        return
    _fill(bare_warehouse, fixture)
    got = [list(row.values()) for row in ask(bare_warehouse, catalog, query)]
    want = [[_rounded(value) for value in row] for row in case["expected"]["rows"]]
    assert same_rows([[_rounded(value) for value in row] for row in got], want, ordered=False), (got, want)


def _measure(text: str) -> tuple[str, str, str, str]:
    found = _MEASURE.match(str(text).strip())
    if not found:
        raise NotInOurFormat(text)
    kind = "count_distinct" if found.group(2) else _TYPES[found.group(1)]
    return found.group(3), kind, found.group(5), found.group(4)


def _catalog(fixture: dict[str, Any], measures: list[tuple[str, str, str, str]]) -> Catalog:
    model = yaml.safe_load(fixture["model"])
    cubes = []
    for dataset in model["datasets"]:
        name, keys = dataset["name"], dataset.get("primary_key") or []
        fields = [field["name"] for field in dataset["fields"]]
        cubes.append(
            {
                "name": name,
                "sql_table": name,
                "joins": [_join(edge) for edge in model.get("relationships") or () if edge["from"] == name],
                "dimensions": [
                    {"name": each, "sql": each, "type": "string", "primary_key": each in keys, "public": True}
                    for each in fields
                ],
                "measures": [
                    {"name": alias, "type": kind, "sql": column}
                    for cube, kind, alias, column in measures
                    if cube == name
                ],
            }
        )
    return load_texts({"ossie.yml": yaml.safe_dump({"cubes": cubes})})


def _join(edge: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(edge["from_columns"], edge["to_columns"], strict=True)
    on = " AND ".join(f"{{CUBE}}.{left} = {{{edge['to']}}}.{right}" for left, right in pairs)
    return {"name": edge["to"], "relationship": "many_to_one", "sql": on}


def _fill(warehouse: Warehouse, fixture: dict[str, Any]) -> None:
    for name, table in fixture["tables"].items():
        columns = [_column(table, index) for index in range(len(table["columns"]))]
        declared = ", ".join(f"{column} {kind}" for column, kind in zip(table["columns"], columns, strict=True))
        command(warehouse, f"CREATE TABLE {name} ({declared}) ENGINE = Memory")
        insert(warehouse, name, table["columns"], table["rows"])


def _column(table: dict[str, Any], index: int) -> str:
    values = [row[index] for row in table["rows"] if row[index] is not None]
    if all(isinstance(value, int) for value in values):
        return "Nullable(Int64)"
    return "Nullable(Float64)" if all(isinstance(value, int | float) for value in values) else "Nullable(String)"


def _rounded(value: Any) -> Any:
    value = comparable(value)
    return round(value, 2) if isinstance(value, float) else value
