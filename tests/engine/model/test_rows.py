"""Keys of the data model that change rows: rows.yml asked of ClickHouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError
from core.warehouse import Warehouse
from engine import SecurityContext
from engine.model import load_texts
from tests.engine.asking import ask, comparable, same_rows, script

_CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "rows.yml").read_text())


@pytest.mark.parametrize("case", _CASES, ids=lambda case: str(case["title"]))
def test_the_rows_are_those_that_the_model_means(case: dict[str, Any], bare_warehouse: Warehouse) -> None:
    files = {"a.yml": case["model"], "b.yml": case.get("more", "cubes: []"), "macros.jinja": case.get("macros", "")}
    catalog = load_texts(files, strict=True)
    script(bare_warehouse, case["tables"])
    for each in case["ask"]:
        context = SecurityContext(frozenset(each.get("groups", ())), each.get("who", {}))
        if "error" in each:
            with pytest.raises(EduError, match=each["error"]):
                ask(bare_warehouse, catalog, each["query"], context)
            continue
        rows = ask(bare_warehouse, catalog, each["query"], context)
        keys = sorted(each["rows"][0])
        assert same_rows(_values(rows, keys), _values(each["rows"], keys), ordered=False), (each, rows)


def _values(rows: Sequence[Mapping[str, Any]], keys: list[str]) -> list[list[Any]]:
    return [[comparable(row[key]) for key in keys] for row in rows]
