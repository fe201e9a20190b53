"""Questions on which planners go wrong, each with the answer that a person would work out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.errors import InvalidQuery, NoJoinPath, Unanswerable
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, compile_query, explain_query
from engine.model import load_texts
from engine.query.request import Filter, FilterGroup, Order, TimeDimension
from tests.engine.asking import ask, script, total

_MODEL = """
cubes:
  - name: orders
    sql_table: orders
    joins:
      - {name: shops, relationship: many_to_one, sql: "{CUBE}.shop = {shops}.id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: at, sql: at, type: time}
      - {name: status, sql: status, type: string}
      - {name: code, sql: code, type: string}
      - {name: price, sql: price, type: number}
      - {name: key, sql: key, type: string}
    measures:
      - {name: count, type: count}
      - {name: amount, type: sum, sql: amount}
      - {name: least, type: min, sql: amount}
      - name: paid
        type: sum
        sql: amount
        filters: [{sql: "{CUBE}.status = 'paid'"}]
        drill_filters: [{sql: "{CUBE}.amount > 1"}]
      - {name: last, type: time, sql: "max({CUBE}.at)"}
      - {name: share, type: number, sql: "count() / sum(count()) OVER ()"}
      - {name: per_return, type: number, sql: "{amount} / {returns.count}"}
      - {name: spread, type: number, sql: "max({CUBE}.amount) - min({CUBE}.amount)"}
      - {name: names, type: string, sql: "arrayStringConcat(arraySort(groupUniqArray({CUBE}.status)), ',')"}
      - {name: by_rent, type: sum, sql: "{CUBE}.amount * {shops.rent}"}
    segments:
      - {name: large, sql: "{CUBE}.amount >= 10"}
  - name: returns
    sql_table: returns
    joins:
      - {name: shops, relationship: many_to_one, sql: "{CUBE}.shop = {shops}.id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: reason, sql: reason, type: string}
    measures:
      - {name: count, type: count}
      - {name: amount, type: sum, sql: amount}
  - name: shops
    sql_table: shops
    joins:
      - {name: staff, relationship: one_to_many, sql: "{CUBE}.id = {staff}.shop"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: city, sql: city, type: string}
      - {name: rent, sql: rent, type: number}
      - name: place
        type: string
        case: {when: [{sql: "{CUBE}.city = 'B''n'", label: "it's B'n"}], else: {label: elsewhere}}
      - {name: staff_count, sql: "{staff.count}", type: number, sub_query: true}
    measures:
      - {name: rents, type: sum, sql: rent}
      - {name: mean_staff, type: avg, sql: "{staff_count}"}
    segments:
      - {name: coastal, sql: "{CUBE}.city = 'A'"}
  - name: staff
    sql_table: staff
    dimensions:
      - {name: shop, sql: shop, type: number, primary_key: true}
      - {name: number, sql: number, type: number, primary_key: true}
      - {name: role, sql: role, type: string}
    measures:
      - {name: count, type: count}
  - name: islands
    sql_table: staff
    dimensions:
      - {name: role, sql: role, type: string}
views:
  - name: both
    cubes:
      - {join_path: orders, prefix: true, includes: [amount, count]}
      - {join_path: returns, prefix: true, includes: [amount]}
      - {join_path: orders.shops, includes: [city]}
    default_filters: [{member: orders_amount, operator: gt, values: [0]}]
"""
_TABLES = """
CREATE TABLE shops (id Int64, city Nullable(String), rent Int64) ENGINE = Memory;
INSERT INTO shops VALUES (1, 'A', 100), (2, 'B''n', 200), (3, NULL, 300), (4, '', 400);
CREATE TABLE orders (id UInt64, shop Nullable(Int64), amount Nullable(Int64), status LowCardinality(String),
  at DateTime64(3, 'UTC'), code Enum8('x' = 1, 'y' = 2), price Decimal(18, 4), key UUID) ENGINE = Memory;
INSERT INTO orders VALUES
  (9007199254740993, 1, 10, 'paid', '2024-01-01 10:00:00', 'x', 0.1, '00000000-0000-0000-0000-000000000001'),
  (9007199254740992, 1, 20, 'open', '2024-01-01 11:00:00', 'y', 0.2, '00000000-0000-0000-0000-000000000002'),
  (3, 2, 5, 'paid', '2024-02-01 10:00:00', 'x', 0.3, '00000000-0000-0000-0000-000000000003'),
  (4, 3, NULL, 'open', '2024-02-02 10:00:00', 'y', 0.4, '00000000-0000-0000-0000-000000000004'),
  (5, 77, 1, 'open', '2024-02-02 10:00:00', 'x', 0.5, '00000000-0000-0000-0000-000000000005');
CREATE TABLE returns (id Int64, shop Nullable(Int64), amount Int64, reason String) ENGINE = Memory;
INSERT INTO returns VALUES (1, 1, 3, 'late'), (2, 4, 4, 'torn'), (3, NULL, 6, 'torn'), (4, 1, 2, 'torn');
CREATE TABLE staff (shop Int64, number Int64, role String) ENGINE = Memory;
INSERT INTO staff VALUES (1, 11, 'cook'), (11, 1, 'cook'), (1, 1, 'cook'), (2, 1, 'clerk');
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Two facts over shops, and shops with many staff."""
    return load_texts({"shops.yml": _MODEL}, strict=True)


@pytest.fixture
def store(bare_warehouse: Warehouse) -> Iterator[Warehouse]:
    """A few rows of each kind."""
    script(bare_warehouse, _TABLES)
    yield bare_warehouse


def _ask(store: Warehouse, catalog: Catalog, query: Query) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ask(store, catalog, query)]


def test_two_facts_keep_every_group_of_both_and_null_is_not_the_empty_text(store: Warehouse, catalog: Catalog) -> None:
    query = Query(
        measures=("orders.amount", "returns.amount", "returns.count"),
        dimensions=("shops.city",),
        order=(Order("shops.city"),),
    )
    assert _ask(store, catalog, query) == [
        ("", None, 4.0, 1.0),
        ("A", 30.0, 5.0, 2.0),
        ("B'n", 5.0, None, 0.0),
        (None, 1.0, 6.0, 1.0),
    ]


def test_a_filter_that_only_one_fact_knows_leaves_the_other_alone(store: Warehouse, catalog: Catalog) -> None:
    only = (Filter("returns.reason", "equals", ("late",)),)
    query = Query(measures=("orders.amount", "returns.amount"), filters=only)
    assert _ask(store, catalog, query) == [(36.0, 3.0)]
    assert "does not concern 'orders'" in explain_query(catalog, query, SecurityContext())
    with pytest.raises(NoJoinPath):
        compile_query(catalog, Query(measures=("orders.amount",), filters=only), SecurityContext())


def test_a_dimension_of_one_fact_cannot_group_the_other(catalog: Catalog) -> None:
    with pytest.raises(NoJoinPath, match="returns"):
        compile_query(
            catalog,
            Query(measures=("orders.amount", "returns.amount"), dimensions=("orders.status",)),
            SecurityContext(),
        )


def test_sums_on_the_one_side_count_once_with_composite_keys_on_the_many_side(
    store: Warehouse, catalog: Catalog
) -> None:
    query = Query(measures=("shops.rents", "staff.count"), dimensions=("staff.role",), order=(Order("staff.role"),))
    assert _ask(store, catalog, query) == [("clerk", 200.0, 1.0), ("cook", 100.0, 3.0), (None, 700.0, 0.0)]


def test_a_ratio_over_two_facts_is_null_where_there_is_nothing_to_divide_by(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("orders.per_return",), dimensions=("shops.city",), order=(Order("shops.city"),))
    assert _ask(store, catalog, query) == [("", None), ("A", 15.0), ("B'n", None), (None, 1.0)]


def test_a_measure_filter_holds_after_the_parts_are_combined(store: Warehouse, catalog: Catalog) -> None:
    query = Query(
        measures=("orders.amount",), dimensions=("shops.city",), filters=(Filter("returns.amount", "gte", ("5",)),)
    )
    assert _ask(store, catalog, query) == [("A", 30.0), (None, 1.0)]


def test_measures_and_dimensions_may_stand_in_one_or(store: Warehouse, catalog: Catalog) -> None:
    mixed = FilterGroup("or", (Filter("shops.city", "equals", ("A",)), Filter("orders.amount", "lt", ("6",))))
    query = Query(
        measures=("orders.count",), dimensions=("shops.city",), filters=(mixed,), order=(Order("shops.city"),)
    )
    assert _ask(store, catalog, query) == [("A", 2.0), ("B'n", 1.0), (None, 2.0)]
    with pytest.raises(Unanswerable, match=r"Add 'shops\.city' to dimensions"):
        compile_query(catalog, Query(measures=("orders.count",), filters=(mixed,)), SecurityContext())


def test_nothing_sums_to_null_and_counts_to_zero(store: Warehouse, catalog: Catalog) -> None:
    none = (Filter("orders.status", "equals", ("gone",)),)
    measures = ("orders.count", "orders.amount", "orders.least", "orders.paid", "orders.last", "orders.spread")
    assert _ask(store, catalog, Query(measures=measures, filters=none)) == [(0.0, None, None, None, None, None)]
    assert _ask(store, catalog, Query(measures=measures, dimensions=("orders.status",), filters=none)) == []


def test_the_same_time_at_two_granularities_and_sorted_by_the_finer(store: Warehouse, catalog: Catalog) -> None:
    times = (TimeDimension("orders.at", "month"), TimeDimension("orders.at", "day"))
    query = Query(measures=("orders.count",), time_dimensions=times, order=(Order("orders.at", True),))
    assert [row[1][:10] for row in _ask(store, catalog, query)] == ["2024-02-02", "2024-02-01", "2024-01-01"]


def test_total_counts_the_rows_that_limit_and_offset_cut_off(store: Warehouse, catalog: Catalog) -> None:
    having = (Filter("orders.count", "gt", ("1",)),)
    query = Query(measures=("orders.count",), dimensions=("shops.city",), filters=having, limit=1, offset=1, total=True)
    assert len(ask(store, catalog, query)) == 1
    assert total(store, compile_query(catalog, query, SecurityContext())) == 2
    assert _ask(store, catalog, Query(dimensions=("shops.city",), limit=0)) == []


def test_ungrouped_shows_rows_also_through_a_join_to_many(store: Warehouse, catalog: Catalog) -> None:
    query = Query(
        measures=("staff.count", "shops.rents"), dimensions=("shops.city", "staff.role"), ungrouped=True, order=()
    )
    assert sorted(_ask(store, catalog, query), key=str) == sorted(
        [
            ("A", "cook", 1.0, 100.0),
            ("A", "cook", 1.0, 100.0),
            ("B'n", "clerk", 1.0, 200.0),
            (None, None, None, 300.0),
            ("", None, None, 400.0),
        ],
        key=str,
    )
    with pytest.raises(InvalidQuery):
        compile_query(
            catalog,
            Query(measures=("orders.count",), filters=(Filter("orders.count", "gt", ("1",)),), ungrouped=True),
            SecurityContext(),
        )


def test_a_segment_of_another_cube_brings_its_join(store: Warehouse, catalog: Catalog) -> None:
    assert _ask(store, catalog, Query(measures=("orders.amount",), segments=("shops.coastal", "orders.large"))) == [
        (30.0,)
    ]


@pytest.mark.parametrize(
    ("member", "operator", "values", "ids"),
    [
        ("orders.id", "equals", ("9007199254740993",), [9007199254740993]),
        ("orders.id", "gt", ("9007199254740992",), [9007199254740993]),
        ("orders.id", "in", ("9007199254740992", "3"), [9007199254740992, 3]),
        ("orders.id", "lt", ("99999999999999999999999999",), [9007199254740993, 9007199254740992, 3, 4, 5]),
        ("orders.price", "equals", ("0.3",), [3]),
        ("orders.price", "gte", ("0.40",), [4, 5]),
        ("orders.code", "equals", ("y",), [9007199254740992, 4]),
        ("orders.code", "contains", ("Y",), [9007199254740992, 4]),
        ("orders.code", "notIn", ("y", "z"), [9007199254740993, 3, 5]),
        ("orders.key", "equals", ("00000000-0000-0000-0000-000000000003",), [3]),
        ("orders.key", "in", ("00000000-0000-0000-0000-000000000003", "00000000-0000-0000-0000-000000000004"), [3, 4]),
        ("orders.key", "endsWith", ("5",), [5]),
        ("orders.status", "notContains", ("PAI", "xx"), [9007199254740992, 4, 5]),
    ],
)
def test_values_compare_by_the_type_of_the_column(
    store: Warehouse, catalog: Catalog, member: str, operator: str, values: tuple[str, ...], ids: list[int]
) -> None:
    rows = _ask(store, catalog, Query(dimensions=("orders.id",), filters=(Filter(member, operator, values),)))
    assert sorted(int(row[0]) for row in rows) == sorted(ids)


def test_a_text_is_no_number(catalog: Catalog) -> None:
    with pytest.raises(InvalidQuery, match="is a number"):
        compile_query(
            catalog,
            Query(dimensions=("orders.id",), filters=(Filter("orders.price", "gt", ("dear",)),)),
            SecurityContext(),
        )


def test_a_view_over_two_facts_with_a_default_filter(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("both.orders_amount", "both.returns_amount"))
    assert _ask(store, catalog, query) == [(36.0, 15.0)]
    cities = Query(measures=("both.orders_amount",), dimensions=("both.city",), order=(Order("both.city"),))
    assert _ask(store, catalog, cities) == [("A", 30.0), ("B'n", 5.0), (None, 1.0)]
    negative = Query(measures=("both.orders_count",), filters=(Filter("both.orders_amount", "notSet"),))
    assert _ask(store, catalog, negative) == []


def test_labels_with_quotes_sub_queries_and_what_is_made_of_them(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("shops.mean_staff",), dimensions=("shops.place",), order=(Order("shops.place"),))
    assert _ask(store, catalog, query) == [("elsewhere", 2 / 3), ("it's B'n", 1.0)]
    staff = Query(dimensions=("shops.staff_count",), measures=("orders.amount",), order=(Order("shops.staff_count"),))
    assert _ask(store, catalog, staff) == [(0.0, None), (1.0, 5.0), (2.0, 30.0), (None, 1.0)]


def test_expressions_over_aggregates_and_over_joined_cubes(store: Warehouse, catalog: Catalog) -> None:
    query = Query(
        measures=("orders.spread", "orders.names", "orders.by_rent", "orders.last"), timezone="America/New_York"
    )
    assert _ask(store, catalog, query) == [(19.0, "open,paid", 4000.0, "2024-02-02T05:00:00.000")]
    by_role = Query(
        measures=("orders.by_rent", "orders.spread"), dimensions=("staff.role",), order=(Order("staff.role"),)
    )
    assert _ask(store, catalog, by_role) == [("clerk", 1000.0, 0.0), ("cook", 3000.0, 10.0), (None, None, 0.0)]


def test_a_measures_own_filters_can_filter_rows(store: Warehouse, catalog: Catalog) -> None:
    rows = _ask(store, catalog, Query(dimensions=("orders.id",), filters=(Filter("orders.paid", "measureFilter"),)))
    assert sorted(int(row[0]) for row in rows) == [3, 9007199254740993]


def test_cubes_without_a_way_between_them_are_refused(catalog: Catalog) -> None:
    with pytest.raises(NoJoinPath, match="islands"):
        compile_query(catalog, Query(measures=("orders.count",), dimensions=("islands.role",)), SecurityContext())


def test_one_shape_is_planned_once_and_its_values_never_enter_the_sql(catalog: Catalog) -> None:
    queries = [
        Query(dimensions=("orders.id",), filters=(Filter("orders.status", "in", values),), limit=limit)
        for values, limit in ((("a'; DROP TABLE x; --", "b"), 5), (("x", "y", "z"), 7))
    ]
    first, second = (compile_query(catalog, query, SecurityContext()) for query in queries)
    assert first.sql is second.sql and "DROP" not in first.sql
    assert first.parameters == {"p0": ["a'; DROP TABLE x; --", "b"], "limit": 5}
    assert second.parameters == {"p0": ["x", "y", "z"], "limit": 7}


def test_a_measure_over_other_groups_is_computed_before_a_filter_hides_some(store: Warehouse, catalog: Catalog) -> None:
    more = Filter("orders.count", "gt", ("2",))
    query = Query(measures=("orders.share",), dimensions=("orders.status",))
    whole = dict(_ask(store, catalog, query))
    kept = _ask(store, catalog, replace(query, filters=(more,)))
    assert 0 < len(kept) < len(whole)
    assert all(whole[status] == share for status, share in kept)
