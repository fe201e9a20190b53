"""Masked members: every way to ask meets the mask, never the value behind it (`masks.yml`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import AccessDenied, ModelErrors
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import ask, query_of, script

_FILE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "masks.yml").read_text())


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Clerks see pupils masked, heads those of their school."""
    return load_texts({"m.yml": _FILE["model"]}, strict=True)


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """Three pupils of two schools."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=masks", threads=1)
    script(warehouse, _FILE["tables"])
    yield warehouse
    script(warehouse, "DROP DATABASE masks;\n")
    warehouse.close()


@pytest.mark.parametrize("case", _FILE["cases"], ids=[case["name"] for case in _FILE["cases"]])
def test_what_is_masked_is_masked_everywhere(case: dict[str, Any], store: Warehouse, catalog: Catalog) -> None:
    attributes = {key: value for key, value in case["as"].items() if key != "groups"}
    context = SecurityContext(frozenset(case["as"]["groups"]), attributes)
    query = case["query"] | {"order": []}
    if "refused" in case:
        with pytest.raises(AccessDenied) as refused:
            compile_query(catalog, query_of(query), context)
        assert refused.value.code == case["refused"]
        return
    rows = [list(row.values()) for row in ask(store, catalog, query, context)]
    assert sorted(rows, key=str) == sorted(case["rows"], key=str)


_CUBE = "cubes: [{{name: a, sql_table: t, dimensions: [{{name: x, sql: x, type: {type}, mask: {mask}}}]}}]"


@pytest.mark.parametrize(("kind", "mask"), [("number", "many"), ("boolean", "perhaps")])
def test_a_mask_has_its_members_type(kind: str, mask: str) -> None:
    with pytest.raises(ModelErrors, match="a mask has its member's type"):
        load_texts({"m.yml": _CUBE.format(type=kind, mask=mask)})
