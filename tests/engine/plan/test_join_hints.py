"""`joinHints`: by which joins a cube is reached that can be reached in two ways."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidQuery, UnknownMember
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import query_of, script
from tests.engine.asking import run as read

_MODEL = """
cubes:
  - name: sales
    sql_table: sales
    joins:
      - {name: stores, relationship: many_to_one, sql: "{CUBE}.store = {stores}.id"}
      - {name: customers, relationship: many_to_one, sql: "{CUBE}.customer = {customers}.id"}
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
    measures: [{name: amount, type: sum, sql: amount}]
  - name: stores
    sql_table: stores
    joins: [{name: regions, relationship: many_to_one, sql: "{CUBE}.region = {regions}.id"}]
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
    measures: [{name: count, type: count}]
  - name: customers
    sql_table: customers
    joins: [{name: regions, relationship: many_to_one, sql: "{CUBE}.region = {regions}.id"}]
    dimensions: [{name: id, sql: id, type: number, primary_key: true}]
  - name: regions
    sql_table: regions
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: name, sql: name, type: string}
views:
  - name: by_customer
    cubes:
      - {join_path: sales, includes: [amount]}
      - {join_path: sales.customers.regions, includes: [name]}
"""
_ROWS = """
CREATE TABLE sales (id Int64, store Int64, customer Int64, amount Int64) ENGINE = MergeTree ORDER BY id;
CREATE TABLE stores (id Int64, region Int64) ENGINE = MergeTree ORDER BY id;
CREATE TABLE customers (id Int64, region Int64) ENGINE = MergeTree ORDER BY id;
CREATE TABLE regions (id Int64, name String) ENGINE = MergeTree ORDER BY id;
INSERT INTO sales VALUES (1, 1, 1, 10), (2, 1, 2, 20), (3, 2, 2, 40), (4, 2, 9, 80);
INSERT INTO stores VALUES (1, 1), (2, 2);
INSERT INTO customers VALUES (1, 2), (2, 1);
INSERT INTO regions VALUES (1, 'north'), (2, 'south')
"""
_ASKED = {"measures": ["sales.amount"], "dimensions": ["regions.name"], "order": {"regions.name": "asc"}}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The diamond."""
    return load_texts({"model.yml": _MODEL})


@pytest.fixture
def store(bare_warehouse: Warehouse) -> Warehouse:
    """Its rows; sale 4 has a customer whom nobody knows."""
    script(bare_warehouse, _ROWS)
    return bare_warehouse


def run(store: Warehouse, catalog: Catalog, payload: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of an answer, without the names."""
    statement = compile_query(catalog, query_of(payload), SecurityContext())
    return [tuple(row.values()) for row in read(store, statement)]


@pytest.mark.parametrize(
    ("hints", "rows"),
    [
        ([["sales", "stores", "regions"]], [("north", 30), ("south", 120)]),
        ([["sales", "customers", "regions"]], [("north", 60), ("south", 10), (None, 80)]),
        ([["customers", "regions"], ["sales", "customers"]], [("north", 60), ("south", 10), (None, 80)]),
    ],
)
def test_a_hint_chooses_the_way(store: Warehouse, catalog: Catalog, hints: list[list[str]], rows: list[Any]) -> None:
    assert run(store, catalog, {**_ASKED, "joinHints": hints}) == rows


def test_a_hint_and_a_view_of_the_same_path_say_the_same(store: Warehouse, catalog: Catalog) -> None:
    name, amount = "by_customer.name", "by_customer.amount"
    view = {"measures": [amount], "dimensions": [name], "order": {name: "asc"}}
    hinted = {**_ASKED, "joinHints": [["sales", "customers", "regions"]]}
    assert run(store, catalog, view) == run(store, catalog, hinted)


def test_a_hint_about_cubes_that_are_not_asked_changes_nothing(store: Warehouse, catalog: Catalog) -> None:
    assert run(store, catalog, {"measures": ["sales.amount"], "joinHints": [["customers", "regions"]]}) == [(150,)]


@pytest.mark.parametrize(
    ("hints", "error", "problem"),
    [
        ([["stores", "sales"]], InvalidQuery, "'stores' declares no join to 'sales'"),
        ([["sales", "by_customer"]], InvalidQuery, "'by_customer' is a view"),
        ([["sales", "store"]], UnknownMember, "no cube or view 'store'"),
        ([["sales", "stores", "regions"], ["customers", "regions"]], InvalidQuery, "by two paths"),
        ([["customers", "regions"], ["regions", "customers"]], InvalidQuery, "no join to 'customers'"),
        ([["sales", 5]], InvalidQuery, "must be a string"),
        ("sales", InvalidQuery, "must be an array"),
    ],
)
def test_a_hint_that_cannot_be_followed_is_refused(
    catalog: Catalog, hints: Any, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        compile_query(catalog, query_of({**_ASKED, "joinHints": hints}), SecurityContext())
