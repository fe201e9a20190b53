"""Strategies: queries over a world, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.engine.worlds.clock import FINENESS
from tests.engine.worlds.columns import BOOLEAN, NUMBER, STRING, TIME, VALUES, ZONES
from tests.engine.worlds.world import World

Json = dict[str, Any]
_SPANS = [
    ["2024-01-01", "2024-12-31"],
    ["2024-03-10", "2024-03-10"],
    ["2018-11-03", "2018-11-04"],
    ["1960-01-01", "2023-12-31"],
    ["2024-01-31T12:00:00.000", "2024-08-15T09:00:00.000"],
    ["2023-12-31"],
]
_OPERATORS = {
    STRING: "equals notEquals in notIn contains notContains startsWith notStartsWith endsWith notEndsWith",
    NUMBER: "equals notEquals in notIn gt gte lt lte",
    BOOLEAN: "equals notEquals",
    TIME: "inDateRange notInDateRange onTheDate beforeDate afterDate beforeOrOnDate afterOrOnDate",
}


@dataclass
class Pool:
    """The members that a query may be made of: public name → type."""

    dims: dict[str, str]
    grains: dict[str, list[str]]
    measures: list[str]
    segments: list[str]

    @property
    def times(self) -> list[str]:
        """Dimensions of type time."""
        return [name for name, kind in self.dims.items() if kind == TIME]


def pools(world: World) -> list[Pool]:
    """One pool for each cube with all that may be joined to it, one for each view."""
    found = [_pool(world, [(f"{each}.", each) for each in _around(world, name)]) for name in world.cubes]
    found.append(_pool(world, [(f"{name}.", name) for name in world.cubes]))
    for view, paths in world.views.items():
        lasts = [path.rsplit(".", 1)[-1] for path in paths]
        found.append(_pool(world, [(f"{view}.{last}_", last) for last in lasts]))
    return found


def _pool(world: World, owners: list[tuple[str, str]]) -> Pool:
    pool = Pool({}, {}, [], [])
    for prefix, name in owners:
        cube = world.cubes[name]
        pool.dims |= {prefix + each: dim.type for each, dim in cube.dims.items()}
        pool.grains |= {prefix + each: list(dim.granularities) for each, dim in cube.dims.items() if dim.type == TIME}
        pool.measures += [prefix + each for each in cube.measures]
        pool.segments += [prefix + each for each in cube.segments]
    return pool


def _around(world: World, name: str) -> list[str]:
    """The cubes within reach of one."""
    found = [name]
    for here in found:
        found += [join.target for join in world.cubes[here].joins if join.target not in found]
    return found


@st.composite
def queries(draw: st.DrawFn, pool: Pool) -> Json:
    """A query of few members."""
    query: Json = {}
    measures = draw(st.lists(st.sampled_from(pool.measures), max_size=3, unique=True))
    measures = _of_one_fact(measures)
    dims = draw(st.lists(st.sampled_from(sorted(pool.dims)), max_size=2, unique=True))
    often = (
        [1, 1, 1, 2]
        if any(name.rpartition(".")[2].rpartition("_")[2].startswith("r") for name in measures)
        else [0, 0, 0, 1, 1, 2]
    )
    times = [_time(draw, pool) for _ in range(draw(st.sampled_from(often)))] if pool.times else []
    if not measures and not dims and not any("granularity" in each for each in times):
        measures = [draw(st.sampled_from(pool.measures))]
    query |= {"measures": measures} if measures else {}
    query |= {"dimensions": dims} if dims else {}
    query |= {"timeDimensions": times} if times else {}
    filters = [_tree(draw, pool, query, 0) for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2])))]
    query |= {"filters": filters} if filters else {}
    if pool.segments and draw(st.sampled_from([True, False, False, False])):
        query["segments"] = [draw(st.sampled_from(pool.segments))]
    simple = not any(name[-2] in "frg" or name.endswith("of_sub") for name in measures)
    if simple and dims and not filters and draw(st.sampled_from([True, *[False] * 7])):
        query["ungrouped"] = True
    query["timezone"] = draw(st.sampled_from(ZONES))
    return _shape(draw, query)


def _of_one_fact(measures: list[str]) -> list[str]:
    """A stage goes with measures of its own cube: what it is in a group of another fact alone, no rule says."""
    stages = [name for name in measures if name[-2] == "g"]
    if not stages:
        return measures
    start = stages[0][:-2]
    return [name for name in measures if name.startswith(start) and name[len(start) :][0] != "f"]


def _shape(draw: st.DrawFn, query: Json) -> Json:
    plain = [*query.get("dimensions", ()), *query.get("measures", ())]
    buckets = [
        f"{each['dimension']}.{each['granularity']}"
        for each in query.get("timeDimensions", ())
        if "granularity" in each
    ]
    listed = list(dict.fromkeys([*plain, *buckets]))
    how = draw(st.sampled_from(["default", "default", "some", "page", "page", "none"]))
    if how == "none":
        query["order"] = []
    elif how != "default":
        chosen = listed if how == "page" else listed[:1]
        query["order"] = [[name, draw(st.sampled_from(["asc", "desc"]))] for name in draw(st.permutations(chosen))]
    if how == "page":
        query |= {"limit": draw(st.sampled_from([0, 1, 2, 5])), "offset": draw(st.sampled_from([0, 1, 2]))}
    if draw(st.sampled_from([True, False, False])):
        query["total"] = True
    return query


def _time(draw: st.DrawFn, pool: Pool) -> Json:
    name = draw(st.sampled_from(pool.times))
    found: Json = {"dimension": name}
    grain = draw(st.sampled_from([*FINENESS[1:], *pool.grains[name] * 3, None]))
    if grain:
        found["granularity"] = grain
    if not grain or draw(st.booleans()):
        found["dateRange"] = draw(st.sampled_from(_SPANS))
    return found


def _tree(draw: st.DrawFn, pool: Pool, query: Json, depth: int) -> Json:
    kind = draw(st.sampled_from(["leaf", "leaf", "leaf", "and", "or"])) if depth < 2 else "leaf"
    if kind == "leaf":
        return _leaf(draw, pool, query)
    return {kind: [_tree(draw, pool, query, depth + 1) for _ in range(draw(st.integers(1, 2)))]}


def _leaf(draw: st.DrawFn, pool: Pool, query: Json) -> Json:
    if query.get("measures") and draw(st.sampled_from([True, False, False])):
        return _of_measure(draw, draw(st.sampled_from(query["measures"])))
    asked = query.get("dimensions") or sorted(pool.dims)
    name = draw(st.sampled_from(asked if draw(st.booleans()) else sorted(pool.dims)))
    return _of_dim(draw, name, pool.dims[name])


def _of_dim(draw: st.DrawFn, name: str, kind: str) -> Json:
    operator = draw(st.sampled_from([*_OPERATORS[kind].split(), "set", "notSet"]))
    found: Json = {"member": name, "operator": operator}
    if operator in ("set", "notSet"):
        return found
    if kind == TIME:
        two = ["2024-01-01", "2024-03-10"] if draw(st.booleans()) else ["1969-01-01", "2023-12-31T23:59:59.998"]
        return found | {"values": two if "Range" in operator else [draw(st.sampled_from(VALUES[TIME]))]}
    several = operator not in ("gt", "gte", "lt", "lte")
    values = st.sampled_from([*VALUES[kind], *([None] if several else [])])
    return found | {"values": draw(st.lists(values, min_size=1, max_size=3 if several else 1, unique=True))}


def _of_measure(draw: st.DrawFn, name: str) -> Json:
    operator = draw(st.sampled_from(["gt", "gte", "lt", "lte", "equals", "notEquals", "set", "notSet"]))
    values = {} if "et" in operator else {"values": [draw(st.sampled_from(["0", "1", "2", "3.5"]))]}
    return {"member": name, "operator": operator, **values}
