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
from engine.query.normalisation import DEFAULT_LIMIT
from tests.engine.asking import query_of, run
from tests.engine.sqlapi.asking import ask_sql
from tests.engine.sqlapi.writing import NotInSql, Writer
from tests.engine.worlds.cases import Asked, all_same, filled
from tests.engine.worlds.draw_asks import pools, queries
from tests.engine.worlds.draw_worlds import worlds

_NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
QUERIES = 15
_CHECKED = settings(
    max_examples=500 if _NIGHTLY else 20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not _NIGHTLY,
    database=None,
    phases=[Phase.generate],
)


@pytest.mark.timeout(1800)
def test_sql_asks_what_the_question_asks(store: Warehouse) -> None:
    told: Counter[str] = Counter()

    @_CHECKED
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        world = data.draw(worlds())
        filled(store, world)
        asked = Asked(store, world, 1 if any(cube.tenant for cube in world.cubes.values()) else None)
        every = pools(world)
        for _ in range(QUERIES):
            pool = data.draw(st.sampled_from(every))
            query, style = data.draw(queries(pool)), data.draw(st.integers(0, 99))
            try:
                text, names = Writer(pool.dims, set(pool.measures), style).write(query)
            except NotInSql:
                continue
            if _is_one_range(query):
                problem = _difference(asked, query, text, names, told)
                assert problem is None, f"{problem}\n{text}\n{query}\n{world.yaml()}"

    check()
    refused = sum(count for kind, count in told.items() if kind != "answered")
    assert told["answered"] > 3 * refused, f"says nothing if all is refused: {told}"


def _difference(asked: Asked, query: dict[str, Any], text: str, names: list[str], told: Counter[str]) -> str | None:
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
    told["answered" if isinstance(found, list) else found] += 1
    if "database_error" in (want, found):  # a literal that the column cannot hold: how it is spelled decides
        return None
    if found == "view" or not isinstance(found, list) or not isinstance(want, list):
        return None if found in ("view", want) else f" got {found}\nwant {want}"
    if len(want) == DEFAULT_LIMIT:  # cut off there; SQL without a LIMIT has them all
        return None
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


def _is_one_range(query: dict[str, Any]) -> bool:
    """A range of a time is its date range, however it is spelled; a filter beside it would make two of it."""
    ranged = [each["dimension"] for each in query.get("timeDimensions", ()) if "dateRange" in each]
    named = Writer({}, set(), 0).filtered({"filters": query.get("filters", ())})
    return len(set(ranged)) == len(ranged) and not set(ranged) & set(named)
