"""Cube's own questions about its own models give Cube's rows (where Cube is right)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError, QueryError
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import Row, command, comparable, query_of, run, same_rows, script, total
from tests.engine.expected import parameters, right_rows
from tests.engine.postgres import translated
from tests.shared import SHARED, shared

_FOLDER = (SHARED or Path("absent")) / "cases" / "cube"
_CONTEXT = re.compile(r"\{SECURITY_CONTEXT\.\w+\.filter\('\w+'\)\}")
_NOT_A_VIEW = re.compile(r"(?s)\n  - name: OrdersView\n.*?(?=\n  - name: OrdersView3\n)")


def _cases(*parts: str) -> list[dict[str, Any]]:
    path = _FOLDER.joinpath(*parts)
    return json.loads(path.read_text()) if path.exists() else []


@cache
def _catalog(path: str, dialect: str = "clickhouse") -> Catalog:
    """A model; views of a form that Cube itself has dropped are cut out of it. In Cube's tests the caller has no
    attributes, which Cube takes for «everything»; we take it for «nothing», so the clause is cut out too."""
    text = _NOT_A_VIEW.sub("", (_FOLDER / path).read_text())
    text = _CONTEXT.sub("1 = 1", text)
    text = text.replace("\n    shown: false\n", "\n")  # Cube's planner answers for hidden cubes, its gateway does not
    if dialect == "postgres":
        text = yaml.safe_dump(translated(yaml.safe_load(text)), sort_keys=False, width=10_000)
    return load_texts({path: text})


def _load(warehouse: Warehouse, path: Path) -> None:
    script(warehouse, path.read_text())


def _expected(suite: str, case: dict[str, Any]) -> list[Row]:
    recorded = [{key: _value(value) for key, value in row.items()} for row in case["expected_rows"]]
    return right_rows(suite, case, recorded)


def _value(value: Any) -> Any:
    """Numbers come as text, some with their dot lost in Cube's snapshots (`6__0000`), times with a Z."""
    if isinstance(value, str):
        value = re.sub(r"^(\d+)__(\d+)$", r"\1.\2", value)
        value = re.sub(r"^(\d{4}-\d\d-\d\dT[\d:.]+)Z$", r"\1", value)
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value):
        return float(value)
    return comparable(value)


def _loose(rows: list[Row]) -> list[Row]:
    """A number that Cube shows as text is a number."""
    return [{key: _value(value) for key, value in row.items()} for row in map(_with_short_names, rows)]


def _with_short_names(row: Row) -> Row:
    """Cube gives a time dimension also under its name without the granularity."""
    short = {name.rpartition(".")[0]: value for name, value in row.items() if name.count(".") == 2}
    return {**short, **row}


def _check(suite: str, case: dict[str, Any], rows: list[Row]) -> None:
    wanted = _expected(suite, case)
    keys = sorted({key for row in wanted for key in row}) if wanted else sorted(rows[0]) if rows else []
    got, want = ([[row.get(key) for key in keys] for row in each] for each in (_loose(rows), wanted))
    compare = case.get("order", {}).get("compare", "multiset")
    assert same_rows(got, want, ordered=False), f"\n got {got}\nwant {want}"
    order = case.get("order", {}).get("keys") or case["query"].get("order") or []
    names = [key if isinstance(key, str) else key[0] for key in order]
    if compare.startswith("ordered") and names:
        chosen = [[key for key in keys if key == name or key.startswith(f"{name}.")] for name in names]
        by = [found[0] for found in chosen if found]
        sorted_got, sorted_want = ([[row[key] for key in by] for row in each] for each in (_loose(rows), wanted))
        assert same_rows(sorted_got, sorted_want, ordered=True)


@pytest.mark.parametrize("case", parameters("cube_rest", [*_cases("rest_cases.json"), *_cases("own_cases.json")]))
def test_cube_rest_cases(case: dict[str, Any], rest_tables: Warehouse) -> None:
    catalog = _catalog("model/ecommerce_no_preagg.yaml")
    query = query_of(case["query"])
    if case.get("kind") == "error":
        with pytest.raises(EduError):
            compile_query(catalog, query, SecurityContext())
        return
    statement = compile_query(catalog, query, SecurityContext())
    rows = run(rest_tables, statement)
    if case["expected_rows"] is not None:
        _check("cube_rest", case, rows)
    if query.total:
        assert total(rest_tables, statement) >= len(rows)
    for wanted in (each["total"] for each in case.get("asserts", ()) if isinstance(each.get("total"), int)):
        assert total(rest_tables, statement) == wanted


@pytest.mark.parametrize("case", parameters("cube_compiler", _cases("compiler", "cases.json")))
def test_cube_compiler_cases(case: dict[str, Any], compiler_tables: Warehouse) -> None:
    catalog = _catalog(f"compiler/{case['model']}", case["dialect"])
    database = {"clickhouse": "cases_clickhouse"}.get(case["dataset"], "cases_postgres")
    command(compiler_tables, f"USE {database}")
    if case["unmapped_columns"]:  # rows of another query: Cube's own test only wants a refusal
        with pytest.raises(QueryError):
            compile_query(catalog, query_of(case["query"]), SecurityContext())
        return
    statement = compile_query(catalog, query_of(_without_undefined(case["query"])), SecurityContext())
    _check("cube_compiler", case, run(compiler_tables, statement))


def _without_undefined(query: dict[str, Any]) -> dict[str, Any]:
    """Cube's tests, in JavaScript, order by what is undefined, which became null."""
    order = query.get("order")
    return query | {"order": [each for each in order if each[0] is not None]} if isinstance(order, list) else query


@pytest.fixture(scope="module")
def case_warehouse(clickhouse_folder: Path) -> Any:
    """A warehouse for the tables of all cases."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=cases", threads=1)
    yield warehouse
    command(warehouse, "USE default")
    for name in ("cases", "cases_clickhouse", "cases_postgres"):
        command(warehouse, f"DROP DATABASE IF EXISTS {name}")
    warehouse.close()


@pytest.fixture(scope="module")
def rest_tables(case_warehouse: Warehouse) -> Warehouse:
    """Cube's e-commerce tables."""
    command(case_warehouse, "USE cases")
    _load(case_warehouse, shared("cases", "cube", "tables", "clickhouse.sql"))
    return case_warehouse


@pytest.fixture(scope="module")
def compiler_tables(case_warehouse: Warehouse) -> Warehouse:
    """The tables of Cube's compiler tests, as its ClickHouse and its Postgres suites have them."""
    for kind in ("clickhouse", "postgres"):
        command(case_warehouse, f"CREATE DATABASE IF NOT EXISTS cases_{kind}")
        command(case_warehouse, f"USE cases_{kind}")
        _load(case_warehouse, shared("cases", "cube", "compiler", f"dataset_{kind}.clickhouse.sql"))
    return case_warehouse
