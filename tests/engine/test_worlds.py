"""Random models, random rows, random questions: ClickHouse gives the rows that plain Python works out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.warehouse import Warehouse
from tests.engine.worlds.cases import Asked, Case, filled, loaded
from tests.engine.worlds.draw_asks import pools, queries
from tests.engine.worlds.draw_worlds import worlds
from tests.engine.worlds.shrinking import shrunk

FOUND = Path(__file__).parent / "data" / "found"
NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
QUERIES = 20
PENDING: frozenset[str] = frozenset()
"""Cases that are not right yet; each must fail, or its name must go."""
_CHECKED = settings(
    max_examples=4000 if NIGHTLY else 105,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not NIGHTLY,
    database=None,
    phases=[Phase.generate],
)


@pytest.mark.timeout(7200 if NIGHTLY else 600)
@_CHECKED
@given(data=st.data())
def test_the_engine_answers_as_plain_python_does(store: Warehouse, data: st.DataObject) -> None:
    world = data.draw(worlds())
    filled(store, world)
    tenant = 1 if any(cube.tenant for cube in world.cubes.values()) else None
    asked = Asked(store, world, tenant)
    every = pools(world)
    for _ in range(QUERIES):
        query = data.draw(queries(data.draw(st.sampled_from(every))))
        if asked.differs(query):
            pytest.fail(shrunk(store, Case(world, query, tenant)))


def _found() -> list[Any]:
    return [
        pytest.param(path, id=path.stem, marks=pytest.mark.xfail(strict=True) if path.stem in PENDING else ())
        for path in sorted(FOUND.glob("*.json"))
    ]


@pytest.mark.parametrize("path", _found())
def test_what_was_once_wrong_is_right(store: Warehouse, path: Path) -> None:
    case = loaded(path)
    filled(store, case.world)
    assert Asked(store, case.world, case.tenant).differs(case.query) is None
