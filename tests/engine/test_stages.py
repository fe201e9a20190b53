"""Windows, stages, shifts and snapshots give what a person works out by hand (tests/engine/data/stages.yml)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import Unanswerable
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query, explain_query
from engine.model import load_texts
from tests.engine.asking import ask, command, query_of, same_rows, script

_DATA: dict[str, Any] = yaml.load((Path(__file__).parent / "data" / "stages.yml").read_text(), yaml.BaseLoader)
_VALUES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "data" / "stages.yml").read_text())


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The model of the cases."""
    return load_texts({"stages.yml": _DATA["model"]}, strict=True)


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """The tables of the cases."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=stages", threads=1)
    script(warehouse, _DATA["tables"])
    yield warehouse
    command(warehouse, "DROP DATABASE stages")
    warehouse.close()


def _asked(query: dict[str, Any]) -> dict[str, Any]:
    return {**query, **({"ungrouped": True} if "ungrouped" in query else {})}


@pytest.mark.parametrize("index", range(len(_DATA["cases"])), ids=[case["name"] for case in _DATA["cases"]])
def test_the_answer_is_the_one_worked_out_by_hand(index: int, store: Warehouse, catalog: Catalog) -> None:
    query = _asked(_DATA["cases"][index]["query"])
    got = [list(row.values()) for row in ask(store, catalog, query)]
    want = [[_value(value) for value in row] for row in _VALUES["cases"][index]["rows"]]
    assert same_rows(got, want, ordered=False), f"\n got {got}\nwant {want}"
    assert explain_query(catalog, query_of(query), SecurityContext())


def _value(value: Any) -> Any:
    """Dates as an answer shows them, numbers as floats."""
    if isinstance(value, str) and len(value) == 10 and value[4] == "-":
        return f"{value}T00:00:00.000"
    return float(value) if isinstance(value, int | float) else value


@pytest.mark.parametrize("case", _DATA["refused"], ids=[case["problem"] for case in _DATA["refused"]])
def test_what_has_no_answer_is_refused_in_words(case: dict[str, Any], catalog: Catalog) -> None:
    with pytest.raises(Unanswerable, match=case["problem"]):
        compile_query(catalog, query_of(_asked(case["query"])), SecurityContext())
