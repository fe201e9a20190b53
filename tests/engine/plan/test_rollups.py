"""Which rollup could serve a query, case by case, and what is said of keys that mean nothing here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import ModelErrors
from engine import Catalog, SecurityContext
from engine.compiler import match_query
from engine.model import load_texts
from engine.plan.rollups.matching import Match
from tests.engine.asking import query_of

_TABLE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "rollups.yml").read_text(encoding="utf-8"))


def catalog(rollups: Mapping[str, Mapping[str, Any]], *, strict: bool = True) -> Catalog:
    """The model with these rollups of orders."""
    listed = json.dumps([{"name": name, **rollup} for name, rollup in rollups.items()])
    return load_texts({"model.yml": _TABLE["model"].replace("%s", listed)}, strict=strict)


def matches(case: Mapping[str, Any], context: SecurityContext | None = None) -> dict[str, Match]:
    """What is said of each rollup of a case."""
    known = {**_TABLE["rollups"], **case.get("more", {})}
    made = catalog({name: known[name] for name in case["rollups"]})
    found = match_query(made, query_of(case["query"]), context or SecurityContext())
    return {match.rollup.name: match for match in found}


@pytest.mark.parametrize("case", _TABLE["cases"], ids=lambda case: case["title"])
def test_which_rollup_could_serve(case: dict[str, Any]) -> None:
    found = matches(case)
    assert set(found) == set(case["expect"])
    for name, wanted in case["expect"].items():
        if wanted is True:
            assert found[name].matches, found[name].reason
        else:
            assert not found[name].matches
            assert wanted in found[name].reason
    preferred = [name for name, match in found.items() if match.preferred]
    fitting = [name for name, match in found.items() if match.matches]
    assert preferred == [case["best"]] if "best" in case else len(preferred) == bool(fitting)


def test_the_rights_of_the_caller_are_conditions_too() -> None:
    policy = """
    access_policy:
      - group: seller
        row_level: {filters: [{member: customer_id, operator: equals, values: ["{security_context.id}"]}]}
      - group: boss
    dimensions:"""
    text = _TABLE["model"].replace("%s", json.dumps([{"name": "whole", "measures": ["count"]}]))
    made = load_texts({"model.yml": text.replace("\n    dimensions:", policy, 1)})
    query = query_of({"measures": ["orders.count"]})
    (boss,) = match_query(made, query, SecurityContext(frozenset({"boss"})))
    (seller,) = match_query(made, query, SecurityContext(frozenset({"seller"}), {"id": 5}))
    assert boss.matches
    assert seller.reason == "It does not keep 'orders.customer_id', by which the query filters."


def test_a_cube_that_looks_at_the_query_is_in_no_rollup() -> None:
    text = _TABLE["model"].replace("%s", json.dumps([{"name": "whole", "measures": ["count"]}]))
    sql = "sql: \"SELECT * FROM orders WHERE {FILTER_PARAMS.orders.status.filter('status')}\""
    made = load_texts({"model.yml": text.replace("sql_table: orders", sql, 1)})
    (match,) = match_query(made, query_of({"measures": ["orders.count"]}), SecurityContext())
    assert "looks at the query's filters" in match.reason


@pytest.mark.parametrize(
    ("rollup", "mistake"),
    [
        ({"type": "auto_rollup"}, "auto_rollup is of Cube's Enterprise edition"),
        ({"type": "rollupp"}, "Did you mean 'rollup'?"),
        ({"measures": ["cuont"]}, "Did you mean 'count'?"),
        ({"measures": ["count"], "dimensions": ["costumers.city"]}, "Did you mean 'customers'?"),
        ({"time_dimension": "created_at"}, "time_dimension needs its granularity"),
        ({"granularity": "day"}, "granularity needs its time_dimension"),
        ({"time_dimension": "created_at", "granularity": "dya"}, "Did you mean 'day'?"),
        ({"time_dimension": "status", "granularity": "day"}, "not a time"),
        ({"time_dimensions": [{"dimension": "created_at"}]}, "needs dimension and granularity"),
        ({"partition_granularity": "decade"}, "is none of hour"),
        ({"type": "rollup_lambda"}, "names the rollups that it stands on"),
        ({"type": "rollup_join", "rollups": ["CUBE.nothing"]}, "there is no other rollup 'orders.nothing'"),
        ({"mesures": ["count"]}, "Did you mean 'measures'?"),
    ],
)
def test_a_mistake_in_a_rollup_is_told(rollup: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ModelErrors) as error:
        catalog({"wrong": rollup})
    assert mistake in str(error.value)
    assert all(each.details["line"] > 0 for each in error.value.errors)


def test_a_member_that_is_not_there_only_makes_its_rollup_useless() -> None:
    made = catalog({"wrong": {"measures": ["cuont"]}}, strict=False)
    assert [str(fault) for fault in made.faults if "cuont" in str(fault)]
    (match,) = match_query(made, query_of({"measures": ["orders.count"]}), SecurityContext())
    assert match.reason == "It names members that are not there, or that cannot be joined."


def test_keys_of_cube_store_are_taken_and_said_to_mean_nothing() -> None:
    made = catalog({"main": {"measures": ["count"], "external": True, "stream_offset": "latest", "read_only": True}})
    notes = made.cubes["orders"].rollups["main"].notes
    assert len(notes) == 3 and all("no effect" in note for note in notes)
