"""Laws over the product's own models and the made-up district: what must hold between the engine's own answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import QueryError
from engine import compile_query
from engine.run.result import Result, read_table
from tests.engine.asking import NOW, comparable, query_of
from tests.engine.worlds import laws
from tests.engine.worlds.asks import columns
from tests.oracle.members import DIMENSIONS, MEASURES
from tests.semantic_models.installations import OPERATOR, Installation
from tests.semantic_models.test_any_question import FACTS, TIMES, ZONES, filters, groupable

Json = dict[str, Any]
_CHECKED = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@st.composite
def questions(draw: st.DrawFn) -> Json:
    """A question to one fact, without a measure filter."""
    fact = draw(st.sampled_from(FACTS))
    measures = st.sampled_from([f"{fact}.{name}" for name in MEASURES[fact]])
    time = {"dimension": TIMES[fact], "granularity": draw(st.sampled_from(["day", "week", "month"]))}
    return {
        "measures": draw(st.lists(measures, min_size=1, max_size=2, unique=True)),
        "dimensions": draw(st.lists(st.sampled_from(groupable(fact)), max_size=2, unique=True)),
        "timeDimensions": [time] if draw(st.booleans()) else [],
        "filters": draw(filters(fact)),
        "timezone": draw(st.sampled_from(ZONES)),
    }


def _asker(installation: Installation) -> laws.Ask:
    def ask(query: Json) -> laws.Rows:
        rows, _ = installation.ask(query)
        return [[row[name] for name in columns(query)] for row in rows]

    return ask


@_CHECKED
@given(query=questions(), other=st.sampled_from(FACTS))
def test_questions_obey_the_laws(made_up: Installation, query: Json, other: str) -> None:
    ask = _asker(made_up)
    assert laws.permuted(query, ask) is None
    assert laws.split(query, ask) is None
    _, counted = made_up.ask({**query, "limit": 1, "total": True})
    assert counted == len(ask({**laws.bare(query), "limit": 50_000}))
    try:
        assert laws.widened({**query, "limit": 50_000}, f"{other}.count", ask) is None
    except QueryError:
        return


@pytest.mark.parametrize("fact", FACTS)
def test_counts_add_up_by_every_dimension_of_their_own(fact: str, made_up: Installation) -> None:
    ask = _asker(made_up)
    for name in DIMENSIONS[fact]:
        assert laws.coarsened(f"{fact}.count", f"{fact}.{name}", ask) is None, name
    for zone in ZONES:
        for fine, coarse in [("day", "week"), ("day", "month"), ("month", "year")]:
            assert laws.rolled_up(f"{fact}.count", TIMES[fact], fine, coarse, zone, ask) is None, zone


@_CHECKED
@given(query=questions())
def test_the_three_formats_say_the_same(made_up: Installation, query: Json) -> None:
    asked = query_of(query)
    statement = compile_query(made_up.catalog, asked, OPERATOR)
    result = made_up.warehouse.call(
        lambda client: client.query(
            statement.sql, parameters=dict(statement.parameters), settings=dict(statement.settings)
        )
    )
    table = read_table(result, statement.columns, datetime.fromisoformat(NOW.isoformat()))
    given_in = {
        form: orjson.loads(
            orjson.dumps(Result(replace(asked, response_format=form), {}, statement.columns, table, {}).data())
        )
        for form in ("default", "compact", "columnar")
    }
    compact, columnar = given_in["compact"], given_in["columnar"]
    rows = [list(row.values()) for row in given_in["default"]]
    assert compact["dataset"] == rows
    assert [list(row) for row in zip(*columnar["columns"], strict=True)] == rows
    assert compact["members"] == columnar["members"]
    assert all(list(row) == compact["members"] for row in given_in["default"])
    assert len([comparable(row) for row in rows]) == table.rows
