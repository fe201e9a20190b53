"""Laws over random models: what must hold between the engine's own answers."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from core.errors import QueryError
from core.warehouse import Warehouse
from engine import SecurityContext, compile_query
from engine.query.normalisation import normalize
from tests.engine.asking import NOW, query_of, run, total
from tests.engine.worlds import laws
from tests.engine.worlds.cases import KNOWN, Asked, filled
from tests.engine.worlds.clock import FINENESS
from tests.engine.worlds.columns import ZONES
from tests.engine.worlds.draw_asks import Pool, pools, queries
from tests.engine.worlds.draw_worlds import worlds
from tests.engine.worlds.world import World

NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
_CHECKED = settings(
    max_examples=1000 if NIGHTLY else 20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not NIGHTLY,
    database=None,
    phases=[Phase.generate],
)
_SPANS = [["2024-01-01", "2024-02-29"], ["2018-11-04"], ["2022-06-01", "2023-12-31"]]
Json = dict[str, Any]


class NotAsked(Exception):
    """The engine refuses the question, or ClickHouse cannot hold a literal of it."""


class Asker:
    """One world, asked as its operator."""

    def __init__(self, store: Warehouse, world: World) -> None:
        open_world = World(world.tables, {name: _open(cube) for name, cube in world.cubes.items()}, world.views)
        filled(store, open_world)
        self.store = store
        self.world = open_world
        self.catalog = Asked(store, open_world, None).catalog

    def __call__(self, query: Json) -> laws.Rows:
        """The rows of the answer."""
        try:
            return [list(row.values()) for row in run(self.store, self.statement(query))]
        except (QueryError, RecursionError) as error:
            raise NotAsked from error
        except Exception as error:
            if any(each in str(error) for each in KNOWN):
                raise NotAsked from error
            raise

    def statement(self, query: Json) -> Any:
        """The SQL of a query."""
        return compile_query(self.catalog, query_of(query), SecurityContext())


def _open(cube: Any) -> Any:
    return replace(cube, tenant=None)


@_CHECKED
@given(data=st.data())
def test_questions_obey_the_laws(store: Warehouse, data: st.DataObject) -> None:
    ask = Asker(store, data.draw(worlds()))
    every = pools(ask.world)
    for _ in range(4):
        pool = data.draw(st.sampled_from(every))
        query = data.draw(queries(pool))
        query.pop("ungrouped", None)
        more = data.draw(st.sampled_from(pool.measures))
        for name, law in {"permuted": laws.permuted, "split": laws.split, "paged": laws.paged}.items():
            _obeyed(name, query, lambda law=law, query=query: law(query, ask))
        _obeyed("widened", query, lambda query=query, more=more: laws.widened(query, more, ask))
        _obeyed("counted", query, lambda query=query: _counted(query, ask))
        _obeyed("compared", query, lambda query=query, pool=pool: _compared(query, pool, ask))


@_CHECKED
@given(data=st.data())
def test_measures_that_add_up_add_up(store: Warehouse, data: st.DataObject) -> None:
    ask = Asker(store, data.draw(worlds()))
    for name, cube in ask.world.cubes.items():
        own = [each for each, dim in cube.dims.items() if dim.sub_query is None]
        adding = [each for each, meas in cube.measures.items() if meas.type in ("sum", "count") and not meas.more]
        measure = f"{name}.{data.draw(st.sampled_from(adding))}"
        dim = f"{name}.{data.draw(st.sampled_from(own))}"
        _obeyed("coarsened", [measure, dim], lambda measure=measure, dim=dim: laws.coarsened(measure, dim, ask))
        for text in [each for each in own if cube.dims[each].type == "string"][:1]:
            _obeyed(
                "chosen", [measure, text], lambda m=measure, d=f"{name}.{text}": laws.chosen(m, d, ("Ada", "it's"), ask)
            )
        for time in [each for each in own if cube.dims[each].type == "time"][:1]:
            zone = data.draw(st.sampled_from(ZONES))
            pairs = st.sampled_from(
                [("hour", "day"), ("day", "week"), ("day", "month"), ("month", "quarter"), ("quarter", "year")]
            )
            fine, coarse = data.draw(pairs)
            _obeyed(
                "rolled up",
                [measure, time, fine, coarse, zone],
                lambda m=measure, t=f"{name}.{time}", f=fine, c=coarse, z=zone: laws.rolled_up(m, t, f, c, z, ask),
            )


def _obeyed(name: str, about: Any, law: Any) -> None:
    try:
        problem = law()
    except NotAsked:
        return
    note(f"{name}: {about}")
    assert problem is None, f"{name}: {about}\n{problem}"


def _counted(query: Json, ask: Asker) -> str | None:
    """The total is the number of rows without limit and offset."""
    rows = ask(laws.bare(query))
    cut = ask.statement({**query, "limit": 1, "offset": 1, "total": True})
    counted = total(ask.store, cut)
    return None if counted == len(rows) else f"total {counted}, {len(rows)} rows"


def _compared(query: Json, pool: Pool, ask: Asker) -> str | None:
    """compareDateRange is each range asked on its own."""
    if not pool.times:
        return None
    time = {"dimension": pool.times[0], "granularity": FINENESS[3]}
    rest = {**laws.bare(query), "timeDimensions": []}
    request = normalize(
        {**rest, "timeDimensions": [{**time, "compareDateRange": _SPANS}]}, now=NOW, default_time_zone="UTC"
    )
    for each, span in zip(request.queries, _SPANS, strict=True):
        alone = ask({**rest, "timeDimensions": [{**time, "dateRange": span}]})
        statement = compile_query(ask.catalog, each, SecurityContext())
        together = [list(row.values()) for row in run(ask.store, statement)]
        if not laws.same(alone, together):
            return f"{span}: {alone} alone, {together} together"
    return None
