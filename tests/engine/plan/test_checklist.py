"""The planner's checklist H1 to H33 and what went wrong beside it (tests/engine/data/hard_cases.yml)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError, ModelErrors
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import ask, command, query_of, same_rows, script, total

_DATA: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "data" / "hard_cases.yml").read_text())
_CASES = [{**case, "world": world} for world, content in _DATA["worlds"].items() for case in content["cases"]]


@pytest.fixture(scope="module")
def catalogs() -> dict[str, Catalog]:
    """The models of all worlds."""
    return {name: load_texts({f"{name}.yml": world["model"]}, strict=True) for name, world in _DATA["worlds"].items()}


@pytest.fixture(scope="module")
def stores(clickhouse_folder: Path) -> Iterator[dict[str, Warehouse]]:
    """The tables of all worlds."""
    found = {
        name: Warehouse(f"chdb://{clickhouse_folder}?database=checklist_{name}", threads=1) for name in _DATA["worlds"]
    }
    for name, store in found.items():
        script(store, _DATA["worlds"][name]["tables"])
    yield found
    for name, store in found.items():
        command(store, f"DROP DATABASE checklist_{name}")
        store.close()


@pytest.mark.parametrize("case", _CASES, ids=[f"{case['h']} {case['name']}" for case in _CASES])
def test_the_answer_is_the_one_worked_out_by_hand(
    case: dict[str, Any], stores: dict[str, Warehouse], catalogs: dict[str, Catalog]
) -> None:
    store, catalog = stores[case["world"]], catalogs[case["world"]]
    caller = case.get("caller", {})
    context = SecurityContext(frozenset(caller.get("groups", ())), caller.get("attributes", {}))
    if "error" in case:
        with pytest.raises(EduError) as caught:
            ask(store, catalog, case["query"], context)
        assert case["error"] in str(caught.value) and type(caught.value).__name__ == case["kind"]
        return
    got = [list(row.values()) for row in ask(store, catalog, case["query"], context)]
    want = [[_value(value) for value in row] for row in case["rows"]]
    assert same_rows(got, want, ordered=case.get("ordered", False)), f"\n got {got}\nwant {want}"
    if "total" in case:
        assert total(store, compile_query(catalog, query_of(case["query"]), context)) == case["total"]


@pytest.mark.parametrize("case", _DATA["refused"], ids=[f"{case['h']} {case['name']}" for case in _DATA["refused"]])
def test_a_model_without_an_answer_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ModelErrors, match=case["problem"]):
        load_texts({"refused.yml": case["model"]}, strict=True)


def test_every_line_of_the_checklist_is_kept() -> None:
    assert {case["h"] for case in _CASES} >= {f"H{number}" for number in range(1, 34)}


def _value(value: Any) -> Any:
    """Dates as an answer shows them, numbers as floats."""
    if isinstance(value, str) and len(value) == 10 and value[4] == "-":
        return f"{value}T00:00:00.000"
    return float(value) if isinstance(value, int | float) and abs(value) < 2**53 else value
