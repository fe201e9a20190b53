"""Random questions over random models, written as SQL and translated back: the answer is that of the question."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.errors import EduError, UnsupportedSql
from core.warehouse import Warehouse
from engine import Catalog, compile_query
from tests.engine.asking import query_of, run
from tests.engine.sqlapi.asking import ask_sql
from tests.engine.sqlapi.writing import NotInSql, Writer
from tests.engine.worlds.cases import Asked, all_same, filled
from tests.engine.worlds.draw_asks import pools, queries
from tests.engine.worlds.draw_worlds import worlds

_NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
QUERIES = 15
_told: Counter[str] = Counter()


@pytest.mark.timeout(1800)
@settings(
    max_examples=500 if _NIGHTLY else 20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not _NIGHTLY,
    database=None,
    phases=[Phase.generate],
)
@given(data=st.data())
def test_sql_asks_what_the_question_asks(store: Warehouse, data: st.DataObject) -> None:
    world = data.draw(worlds())
    filled(store, world)
    asked = Asked(store, world, 1 if any(cube.tenant for cube in world.cubes.values()) else None)
    every = pools(world)
    for _ in range(QUERIES):
        pool = data.draw(st.sampled_from(every))
        query = data.draw(queries(pool))
        try:
            text, names = Writer(pool.dims, set(pool.measures), data.draw(st.integers(0, 99))).write(query)
        except NotInSql:
            continue
        if not _comparable_as_it_is(query):
            continue
        problem = _difference(asked, query, text, names)
        assert problem is None, f"{problem}\n{text}\n{query}\n{world.yaml()}"


def test_most_of_them_were_answered() -> None:
    """The property above says nothing if all is refused."""
    print(_told)
    assert _told["answered"] > 3 * sum(count for kind, count in _told.items() if kind != "answered"), _told


def _difference(asked: Asked, query: dict[str, Any], text: str, names: list[str]) -> str | None:
    zone = query.get("timezone", "UTC")
    want = _of_question(asked.warehouse, asked.catalog, query, names, asked.context)
    try:
        found: Any = ask_sql(asked.warehouse, asked.catalog, text, asked.context, zone)
    except UnsupportedSql as error:
        found = "view" if "A view is not joined" in error.message else error.code
    except EduError as error:
        found = error.code
    except Exception as error:
        found = type(error).__name__
    _told["answered" if isinstance(found, list) else found] += 1
    if "database_error" in (want, found):  # a literal that the column cannot hold: how it is spelled decides
        return None
    if found == "view" or not isinstance(found, list) or not isinstance(want, list):
        return None if found in ("view", want) else f" got {found}\nwant {want}"
    if "order" in query and "limit" in query:
        same = all_same(found, want)
    else:
        same = all_same(sorted(found, key=repr), sorted(want, key=repr))
    return None if same else f" got {found}\nwant {want}"


def _of_question(warehouse: Warehouse, catalog: Catalog, query: dict[str, Any], names: list[str], context: Any) -> Any:
    try:
        if query.get("limit") == 0:
            compile_query(catalog, query_of(query), context)
            return []
        rows = run(warehouse, compile_query(catalog, query_of(query), context))
    except EduError as error:
        return error.code
    except Exception as error:
        return type(error).__name__
    return [[row[name] for name in names] for row in rows]


def _comparable_as_it_is(query: dict[str, Any]) -> bool:
    """A range of a time is its date range, however it is spelled; a filter beside it would make two of it."""
    ranged = [each["dimension"] for each in query.get("timeDimensions", ()) if "dateRange" in each]
    named = Writer({}, set(), 0).filtered({"filters": query.get("filters", ())})
    return len(set(ranged)) == len(ranged) and not set(ranged) & set(named)
