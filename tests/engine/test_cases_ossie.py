"""Apache Ossie's vectors: foundational semantics, asked in our format."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError, ModelError, QueryError, RefusedByStore
from core.warehouse import Warehouse
from engine.model import load_texts
from tests.engine.asking import ask, command, comparable, insert, same_rows
from tests.engine.expected import parameters, right_rows
from tests.engine.ossie import Ossie
from tests.shared import SHARED

_FILE = (SHARED or Path("absent")) / "cases" / "ossie" / "vectors.json"
_VECTORS: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.exists() else {"tests": [], "fixtures": {}}
_TOLD: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "data" / "ossie.yml").read_text())


def _cases() -> list[dict[str, Any]]:
    return [case for case in _VECTORS["tests"] if case["status"] in ("rows", "error")]


@pytest.mark.parametrize("case", parameters("ossie", _cases()))
def test_ossie_vectors(case: dict[str, Any], bare_warehouse: Warehouse) -> None:
    fixture = _fixture(case)
    _fill(bare_warehouse, fixture)
    if case["status"] == "error":
        with pytest.raises(EduError) as caught:
            _answer(case, fixture, bare_warehouse)
        error = caught.value
        assert isinstance(error, QueryError | ModelError)
        assert not isinstance(error, RefusedByStore), f"found only by the database: {error}"
        assert error.ossie == case["expected"]["error"]
        return
    rows = [[_rounded(value) for value in row] for row in _answer(case, fixture, bare_warehouse)]
    recorded = [[_rounded(value) for value in row] for row in case["expected"]["rows"]]
    want = right_rows("ossie", case, recorded)
    assert same_rows(rows, want, ordered=_sorted(case)), (rows, want)


def _answer(case: dict[str, Any], fixture: dict[str, Any], warehouse: Warehouse) -> list[list[Any]]:
    told = _TOLD["told"].get(case["id"], {})
    model = Ossie()
    for text in (fixture["model"], *case["model_additions"]):
        model.declare(yaml.safe_load(text))
    model.declare(told)
    query = model.query(told.get("query") or yaml.safe_load(case["query"]))
    return [list(row.values()) for row in ask(warehouse, load_texts({"ossie.yml": model.text()}), query)]


def _sorted(case: dict[str, Any]) -> bool:
    return "Order By" in (case["query"] or "")


def _fixture(case: dict[str, Any]) -> dict[str, Any]:
    """The fixture with the rows that the vector itself presumes."""
    name = case["fixture"] or "F-PRELUDE"
    fixture: dict[str, Any] = deepcopy(_VECTORS["fixtures"][_TOLD["fixtures"].get(name, name)])
    change = _TOLD["rows"].get(case["id"])
    if change:
        table = fixture["tables"][change["table"]]
        place = {name: index for index, name in enumerate(table["columns"])}
        for row in table["rows"]:
            if all(row[place[name]] == value for name, value in change.get("where", {"": None}).items() if name):
                for column, value in change.get("set", {}).items():
                    row[place[column]] = value
        table["rows"] += change.get("add", [])
    return fixture


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
