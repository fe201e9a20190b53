"""What a query's JSON becomes, and what is said of JSON that is no query."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import QueryError, TooComplex
from engine.query.normalisation import Request, normalize, number_text
from engine.query.request import Filter, FilterGroup, Order, TimeDimension
from engine.query.validation import OPERATORS

NOW = datetime(2024, 3, 13, 15, 30, 45, tzinfo=UTC)
_REFUSALS = yaml.safe_load((Path(__file__).parent / "refusals.yml").read_text(encoding="utf-8"))


def ask(payload: Any, cache: str | None = None) -> Request:
    """Normalise at one moment, in UTC."""
    return normalize(payload, now=NOW, default_time_zone="UTC", cache=cache)


@pytest.mark.parametrize(("payload", "text"), _REFUSALS, ids=lambda value: str(value)[:60])
def test_refuses_with_the_text_of_cube(payload: Any, text: str) -> None:
    with pytest.raises(QueryError) as refusal:
        ask(payload)
    assert refusal.value.message == text
    assert refusal.value.status == 400


def test_fills_in_what_a_query_leaves_out() -> None:
    request = ask({"measures": ["a.b"]})
    (query,) = request.queries
    assert (query.limit, query.offset, query.timezone, query.order, query.total) == (10_000, None, "UTC", None, False)
    assert request.echoes == (
        {
            "measures": ["a.b"],
            "dimensions": [],
            "timeDimensions": [],
            "limit": 10_000,
            "timezone": "UTC",
            "filters": [],
            "rowLimit": 10_000,
        },
    )
    assert request.pivot == {**request.echoes[0], "queryType": "regularQuery"}


def test_json_text_and_object_are_the_same_query() -> None:
    query = {"measures": ["a.b"], "order": [["a.b", "desc"], ["a.c", "asc"]], "limit": 0, "offset": 3, "total": True}
    assert ask(json.dumps(query)) == ask(query)
    assert ask(query).queries[0].order == (Order("a.b", True), Order("a.c"))


def test_the_order_of_an_order_object_counts_and_an_empty_one_is_none() -> None:
    assert ask({"measures": ["a.b"], "order": {"a.z": "asc", "a.b": "desc"}}).queries[0].order == (
        Order("a.z"),
        Order("a.b", True),
    )
    assert ask({"measures": ["a.b"], "order": {}}).queries[0].order == ()


def test_a_dimension_of_three_parts_becomes_the_last_time_dimension() -> None:
    times = [{"dimension": "a.t", "granularity": "day", "dateRange": "yesterday"}]
    request = ask({"dimensions": ["a.u.month", "a.d"], "timeDimensions": times})
    assert request.queries[0].dimensions == ("a.d",)
    assert request.queries[0].time_dimensions == (
        TimeDimension("a.t", "day", ("2024-03-12T00:00:00.000", "2024-03-12T23:59:59.999")),
        TimeDimension("a.u", "month"),
    )


def test_filter_values_become_texts_and_groups_stay_as_they_are() -> None:
    leaf = {"dimension": "a.c", "operator": "equals", "values": [1, 2.50, 1e21, True, None, ""]}
    (query,) = ask({"measures": ["a.b"], "filters": [{"or": [leaf, {"and": [leaf]}]}]}).queries
    one = Filter("a.c", "equals", ("1", "2.5", "1e+21", "true", None, ""))
    assert query.filters == (FilterGroup("or", (one, FilterGroup("and", (one,)))),)


@pytest.mark.parametrize(
    ("operator", "values", "resolved"),
    [
        ("inDateRange", ["last month"], ("2024-02-01T00:00:00.000", "2024-02-29T23:59:59.999")),
        ("inDateRange", ["2024-01-01", "2024-01-31"], ("2024-01-01T00:00:00.000", "2024-01-31T23:59:59.999")),
        ("onTheDate", ["2024-01-01"], ("2024-01-01T00:00:00.000", "2024-01-01T23:59:59.999")),
        ("beforeDate", ["last month"], ("2024-02-01T00:00:00.000",)),
        ("afterDate", ["last month"], ("2024-02-29T23:59:59.999",)),
        ("beforeOrOnDate", ["2024-01-01"], ("2024-01-01T23:59:59.999",)),
        ("afterOrOnDate", ["2024-01-01T10:00:00"], ("2024-01-01T10:00:00.000",)),
        ("afterDate", [None, "2024-01-01T10:00:00+02:00"], ("2024-01-01T08:00:00.000",)),
    ],
)
def test_dates_in_filters_become_moments(operator: str, values: list[str], resolved: tuple[str, ...]) -> None:
    (query,) = ask(
        {"measures": ["a.b"], "filters": [{"member": "a.t", "operator": operator, "values": values}]}
    ).queries
    assert query.filters == (Filter("a.t", operator, resolved),)


def test_compared_ranges_become_one_query_each() -> None:
    time = {"dimension": "a.t", "granularity": "day", "compareDateRange": ["this week", ["2024-01-01", "2024-01-07"]]}
    request = ask({"measures": ["a.b"], "timeDimensions": [time]})
    assert request.type == "compareDateRangeQuery"
    assert [query.time_dimensions[0].date_range for query in request.queries] == [
        ("2024-03-11T00:00:00.000", "2024-03-17T23:59:59.999"),
        ("2024-01-01T00:00:00.000", "2024-01-07T23:59:59.999"),
    ]
    assert request.pivot["dimensions"] == ["compareDateRange"]


def test_blended_queries_are_pivoted_by_their_common_time() -> None:
    time = [{"dimension": "a.t", "granularity": "day"}]
    request = ask([{"measures": [name], "timeDimensions": time} for name in ("a.b", "a.c")])
    assert request.type == "blendingQuery"
    assert request.pivot == {
        "measures": ["a.b", "a.c"],
        "dimensions": [],
        "timeDimensions": [{"dimension": "time", "granularity": "day"}],
        "queryType": "blendingQuery",
    }


def test_the_parameter_wins_over_the_cache_mode_of_the_query() -> None:
    query = {"measures": ["a.b"], "cache": "no-cache"}
    assert ask(query).cache == "no-cache"
    assert ask(query, "must-revalidate").cache == "must-revalidate"
    assert ask({"measures": ["a.b"]}).cache == "stale-if-slow"


def test_deep_nesting_is_refused() -> None:
    deep: Any = {"member": "a.c", "operator": "set"}
    for _ in range(5000):
        deep = {"and": [deep]}
    with pytest.raises(TooComplex, match="nests deeper") as refusal:
        ask({"measures": ["a.b"], "filters": [deep]})
    assert refusal.value.code == "too_deep"


_LEAF: dict[str, Any] = {"member": "a.c", "operator": "set"}
_DAY = {"dimension": "a.t", "granularity": "day"}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"filters": [_LEAF] * 1001}, "at most 1000 conditions"),
        ({"filters": [{"or": [_LEAF] * 500}, {"and": [{"or": [_LEAF] * 500}]}]}, "at most 1000 conditions"),
        ({"filters": [{"member": "a.c", "operator": "contains", "values": ["x"] * 1001}]}, "at most 1000 conditions"),
        ({"filters": [{"member": "a.c", "operator": "equals", "values": [1] * 100_001}]}, "100000 items"),
        ({"filters": [{"member": "a.c", "operator": "equals", "values": ["x"] * 60_000}] * 2}, "100000 items"),
        ({"timeDimensions": [_DAY] * 101}, "at most 100 items"),
        ({"dimensions": ["a.c"] * 100_001}, "100000 items"),
    ],
)
def test_too_much_is_refused(part: dict[str, Any], text: str) -> None:
    with pytest.raises(TooComplex, match=text) as refusal:
        ask({"measures": ["a.b"], **part})
    assert refusal.value.details["path"].startswith(next(iter(part)))


def test_much_is_taken() -> None:
    values = list(range(99_000))
    (query,) = ask({"measures": ["a.b"], "filters": [{"member": "a.c", "operator": "in", "values": values}]}).queries
    (leaf,) = query.filters
    assert isinstance(leaf, Filter) and len(leaf.values) == 99_000


_PLACES = yaml.safe_load((Path(__file__).parent / "places.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("payload", "path", "nearest"), _PLACES, ids=lambda value: str(value)[:60])
def test_a_refusal_names_its_place_and_what_may_have_been_meant(payload: Any, path: str, nearest: str | None) -> None:
    with pytest.raises(QueryError) as refusal:
        ask(payload)
    assert refusal.value.details.get("path") == path
    assert nearest is None or refusal.value.details["nearest"][0] == nearest


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_from_its_text(number: float) -> None:
    assert float(number_text(number)) == number


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["a.b", "a.b.day", "today"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = """measures dimensions timeDimensions filters segments order limit offset total timezone ungrouped
responseFormat cache member dimension operator values and or granularity dateRange compareDateRange renewQuery"""
keys = st.sampled_from(_KEYS.split())
texts = st.sampled_from(
    ["a.b", "a.t", "today", "2024-01-01", "last 5 days", "asc", "\ud800", "\x00", *OPERATORS]
) | st.text(max_size=5)
alike = st.recursive(
    texts | scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)


@given(anything | st.dictionaries(keys, alike, max_size=6) | st.lists(st.dictionaries(keys, alike), max_size=3))
@example({"measures": ["a.b"], "limit": 10**400})
@example({"measures": ["a.b"], "filters": [{"member": "a.b", "operator": "equals", "values": [10**5000]}]})
@example('{"measures": ["a.b"], "limit": 1e999}')
@example("[" * 100_000)
@example({5: 6})
def test_any_json_is_a_query_or_refused_by_an_error_of_ours(payload: Any) -> None:
    try:
        request = ask(payload)
    except QueryError as error:
        assert error.status == 400 and error.message
        error.message.encode("utf-8")
    else:
        json.dumps(request.echoes, allow_nan=False).encode("utf-8")
