"""A model file that is wrong says where, what and what would be right; a right one loads as it is written."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.queries.meta import meta_body
from core.errors import ModelErrors, Unanswerable, UnknownMember
from engine import Query, SecurityContext, compile_query
from engine.model import Catalog, load_catalog, load_texts
from engine.model.schema import KEYS

_MISTAKES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "mistakes.yml").read_text())

_BASE = """
cubes:
  - name: orders
    sql_table: shop.orders
    title: Big orders
    joins:
      - {name: customers, relationship: belongs_to, sql: "{CUBE}.customer_id = {customers}.id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: createdAt, sql: "{CUBE}.created_at", type: time}
      - {name: customerId, sql: customer_id, type: number}
      - name: size
        type: string
        case: {when: [{sql: "{CUBE}.amount > 10", label: big}], else: {label: small}}
      - {name: customer_city, sql: "{customers.city}", type: string}
    measures:
      - {name: count, type: count, drill_members: [id, customers.city]}
      - {name: revenue, type: sum, sql: amount, format: currency, rolling_window: {trailing: unbounded}}
    segments:
      - {name: paid, sql: "{CUBE}.status = 'paid'"}
    hierarchies:
      - {name: place, levels: [customers.city, id]}
    pre_aggregations:
      - {name: main, measures: [CUBE.count]}
  - name: customers
    sql: SELECT * FROM customers
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: city, sql: city, type: string, meta: {any: [1, {thing: true}]}}
  - name: web_orders
    extends: orders
    sql_table: web_orders
    measures:
      - {name: revenue, type: sum, sql: net}
      - {name: visits, type: count_distinct, sql: visit}
views:
  - name: sales
    cubes:
      - {join_path: orders, includes: "*", excludes: [size]}
      - {join_path: orders.customers, prefix: true, includes: [{name: city, alias: town, title: Town}]}
    folders: [{name: Where, includes: [customers_town]}]
    default_filters: [{member: customers_town, operator: set}]
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """A model with a bit of everything."""
    return load_texts({"shop.yml": _BASE}, strict=True)


@pytest.mark.parametrize("case", _MISTAKES, ids=lambda case: str(case["title"]))
def test_mistakes_are_told_with_their_line_and_the_nearest_right_word(case: dict[str, Any]) -> None:
    with pytest.raises(ModelErrors) as caught:
        load_texts({"m.yml": case["model"]}, strict=True)
    found = [(error.details.get("line"), str(error)) for error in caught.value.errors]
    for line, part in case["errors"].items():
        assert any(at == line and part in text for at, text in found), found
    assert {line for line, _ in found} == set(case["errors"]), found
    assert len(set(found)) == len(found)
    assert all(error.details["file"] == "m.yml" for error in caught.value.errors)
    assert caught.value.ossie == case.get("ossie")


def test_a_reference_to_nothing_breaks_only_what_uses_it() -> None:
    model = _BASE.replace("{CUBE}.created_at", "{CUBE.creatd}")
    loaded = load_texts({"shop.yml": model})
    assert [error.details["line"] for error in loaded.faults] == [10, 10]  # the cube and the one that extends it
    assert compile_query(loaded, Query(measures=("orders.count",)), SecurityContext())
    with pytest.raises(Unanswerable, match="creatd"):
        compile_query(loaded, Query(dimensions=("orders.createdAt",)), SecurityContext())


def test_a_row_has_no_aggregate() -> None:
    own = "- {name: c, sql_table: t, measures: [{name: n, type: count}]"
    dimension = "dimensions: [{name: d, sql: '{n} + 1', type: number}]"
    catalog = load_texts({"m.yml": f"cubes:\n  {own}, {dimension}, segments: [{{name: s, sql: '{{n}} > 1'}}]}}"})
    for query in (Query(dimensions=("c.d",)), Query(measures=("c.n",), segments=("c.s",))):
        with pytest.raises(Unanswerable, match="sub_query: true"):
            compile_query(catalog, query, SecurityContext(frozenset(), {}))


def test_an_unknown_member_comes_with_the_nearest_ones(catalog: Catalog) -> None:
    with pytest.raises(UnknownMember) as caught:
        compile_query(catalog, Query(measures=("orders.cont",)), SecurityContext())
    assert "orders.count" in caught.value.details["nearest"]
    with pytest.raises(UnknownMember, match="Did you mean orders"):
        compile_query(catalog, Query(measures=("order.count",)), SecurityContext())


def test_what_is_loaded_is_what_is_written(catalog: Catalog) -> None:
    orders, web = catalog.cubes["orders"], catalog.cubes["web_orders"]
    assert orders.table == "shop.orders" and orders.shown.title == "Big orders" and orders.source.line == 3
    assert orders.dimensions["customerId"].shown.title == "Big orders Customer ID"
    assert not orders.dimensions["id"].shown.public and orders.dimensions["size"].shown.public
    assert orders.measures["count"].drill_members == ("id", "customers.city")
    assert orders.joins["customers"].relationship == "many_to_one"
    assert list(orders.rollups) == ["main"]
    assert catalog.cubes["customers"].dimensions["city"].shown.meta == {"any": [1, {"thing": True}]}
    assert set(web.measures) == {"count", "revenue", "visits"} and web.table == "web_orders" and web.joins
    assert catalog.expanded["customers#table"].tree.sql("clickhouse") == "customers"  # type: ignore[union-attr]


def test_a_view_shows_members_under_its_own_names(catalog: Catalog) -> None:
    sales = catalog.views["sales"]
    assert "size" not in sales.dimensions and {"count", "revenue"} <= set(sales.measures)
    town = sales.dimensions["customers_town"]
    assert town.alias_member == "customers.city" and town.path == ("orders", "customers")
    assert town.shown.title == "Sales Town" and sales.folders[0].members == ("customers_town",)
    assert sales.default_filters[0].unless == ("sales.customers_town",)


def test_jinja_is_rendered_and_reports_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TABLE", "live_orders")
    (tmp_path / "cubes").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "r.yml").write_text("not: a model")
    text = "cubes:\n{% for n in ['a', 'b'] %}  - {name: {{ n }}, sql_table: {{ env_var('SHOP_TABLE') }}}\n{% endfor %}"
    (tmp_path / "cubes" / "x.yml").write_text(text)
    loaded = load_catalog(tmp_path)
    assert list(loaded.cubes) == ["a", "b"] and loaded.cubes["a"].table == "live_orders"


def test_a_load_leaves_the_garbage_collector_on() -> None:
    with pytest.raises(ModelErrors):
        load_texts({"m.yml": "cubes: [{name: 1a}]"})
    assert gc.isenabled()


def test_every_key_is_told_of_in_the_documentation() -> None:
    told = yaml.safe_load((Path(__file__).parents[3] / "docs" / "model_keys.yml").read_text())
    assert {kind: set(keys) for kind, keys in told.items()} == {kind: set(keys) for kind, keys in KEYS.items()}
    assert {effect for keys in told.values() for effect, _ in keys.values()} <= {"rows", "shown", "idle", "refused"}


def test_a_model_with_every_key_loads_as_it_is_written() -> None:
    loaded = load_texts({"m.yml": (Path(__file__).parent / "everything.yml").read_text()}, strict=True)
    assert set(loaded.views) == {"sales", "small", "parts", "parts_customers"}
    assert loaded.view_groups["shop"].views == ("sales", "parts", "small")
    sales = loaded.views["sales"]
    assert sales.hierarchies["where"].levels == ("sales.buyer_home", "sales.amount")
    assert sales.hierarchies["own"].levels == ("sales.town", "sales.at")
    assert (
        [each.name for each in sales.folders]
        == ["Where", "All"]
        == [each.name for each in loaded.views["small"].folders]
    )
    assert sales.dimensions["buyer_home"].shown.title == "Sales Home"


def test_twenty_cubes_load_within_a_blink() -> None:
    """Not a benchmark: a guard against parsing anything twice (it takes some 20 ms when the machine is quiet)."""
    names = ("orders", "customers", "sales")
    files = {f"{n}.yml": re.sub("|".join(names), lambda found, n=n: f"{found[0]}{n}", _BASE) for n in range(7)}  # type: ignore[misc]
    load_texts(files)
    started = time.process_time()
    load_texts(files)
    assert time.process_time() - started < 0.5


def test_keys_for_people_are_told_by_meta() -> None:
    loaded = load_texts({"m.yml": (Path(__file__).parent / "everything.yml").read_text()}, strict=True)
    told = {each["name"]: each for each in meta_body(loaded, SecurityContext())["cubes"]}
    orders, sales = told["orders"], told["sales"]
    amount = {each["name"]: each for each in orders["dimensions"]}["orders.amount"]
    assert amount["order"] == "desc" and amount["key"] == "orders.id" and amount["links"][0]["primary"] is True
    assert amount["currency"] == "EUR" and amount["format"] == "currency_2"
    assert amount["formatDescription"] == {"name": "currency_2", "specifier": "$,.2f"}
    of_view = {each["name"]: each for each in sales["dimensions"]}
    assert of_view["sales.amount"]["key"] == "sales.id" and of_view["sales.amount"]["aliasMember"] == "orders.amount"
    assert of_view["sales.buyer_home"]["meta"] == {"x": 1} and of_view["sales.buyer_home"]["description"] == "d"
    assert [each["name"] for each in of_view["sales.at"]["granularities"]] == ["fiscal_year", "shift", "odd"]
    assert orders["meta"] == {"owner": "shop", "tags": ["a", 1, None]} and sales["viewGroups"] == ["shop"]
    assert sales["folders"][0] == {"name": "Where", "members": ["town", "buyer_home", "buyer_home"]}
    assert sales["nestedFolders"][0]["members"][1] == {"name": "Home", "members": ["buyer_home"]}
    assert [each["title"] for each in orders["hierarchies"]] == ["Where"]
    assert {each["name"] for each in sales["hierarchies"]} == {"sales.where", "sales.own"}
