"""A failing case made small: rows, conditions, members and cubes are left out as long as it still fails."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import EduError
from core.warehouse import Warehouse
from tests.engine.worlds.asks import read_ask
from tests.engine.worlds.cases import Asked, Case, filled
from tests.engine.worlds.world import Cube, Table, World

_FOLDER = Path(os.environ.get("EDU_FOUND", tempfile.gettempdir())) / "found"
SECONDS = 30
Step = Callable[[Case], Iterator[Case]]


def shrunk(warehouse: Warehouse, case: Case) -> str:
    """The smallest case found, written to a file; what is wrong with it."""
    problem = outcome(warehouse, case)
    if problem is None:
        return "not the same twice"
    kind, until = _kind(problem), time.monotonic() + SECONDS
    for step in (_fewer_members, _smaller_queries, _smaller_worlds, _smaller_queries, _smaller_worlds):
        case, problem = _as_small_as(warehouse, case, problem, step, lambda each: _kind(each) == kind, until)
    return _written(case, problem)


def _as_small_as(
    warehouse: Warehouse, case: Case, problem: str, step: Step, alike: Callable[[str], bool], until: float
) -> tuple[Case, str]:
    """Each smaller case that still fails takes the place of the case; the tries go on from where they were."""
    place = 0
    while time.monotonic() < until:
        each = next(islice(step(case), place, None), None)
        if each is None:
            break
        found = outcome(warehouse, each)
        if found is not None and alike(found):
            case, problem = each, found
        else:
            place += 1
    return case, problem


def _written(case: Case, problem: str) -> str:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    text = case.dumped(problem)
    path = _FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text)
    return f"{path}\n{problem}\n{case.query}\n{case.world.yaml()}\n{case.world.tables}"


def _kind(problem: str) -> str:
    """Two problems of one kind are taken for the same fault."""
    found = re.search(r"^(error|refused|answered|total).{0,30}", problem, re.MULTILINE)
    return found[0] if found else "rows"


def outcome(warehouse: Warehouse, case: Case) -> str | None:
    """What is wrong, None if nothing is or it is no case any more."""
    try:
        filled(warehouse, case.world)
        read_ask(case.world, case.query)
        return Asked(warehouse, case.world, case.tenant).differs(case.query)
    except (EduError, KeyError, IndexError):
        return None


def _fewer_members(case: Case) -> Iterator[Case]:
    """Without the members which the query does not name, a cube at a time; then one at a time."""
    asked = repr(case.query)
    for name, cube in case.world.cubes.items():
        heirs = [name, *(each for each, heir in case.world.cubes.items() if heir.parent == name)]
        named = {each for each in _members(cube) if any(f"{heir}.{each}'" in asked for heir in heirs)}
        smaller = replace(
            cube,
            dims={each: dim for each, dim in cube.dims.items() if each in named or each in cube.key},
            measures={each: measure for each, measure in cube.measures.items() if each in named},
            segments={each: term for each, term in cube.segments.items() if each in named},
        )
        if smaller != cube:
            yield replace(case, world=alike(replace(case.world, cubes={**case.world.cubes, name: smaller})))


def _members(cube: Cube) -> list[str]:
    return [*cube.dims, *cube.measures, *cube.segments]


def _smaller_queries(case: Case) -> Iterator[Case]:
    yield from (replace(case, query=query) for query in _queries(case.query))


def _smaller_worlds(case: Case) -> Iterator[Case]:
    yield from (replace(case, world=alike(world)) for world in _worlds(case.world))


def alike(world: World) -> World:
    """A cube that extends another has what the other has left; without the other it stands alone."""
    cubes = {
        name: replace(world.cubes[cube.parent], parent=cube.parent)
        if cube.parent in world.cubes
        else replace(cube, parent=None)
        for name, cube in world.cubes.items()
    }
    return replace(world, cubes=cubes)


def _queries(query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in query.items():
        if not isinstance(value, list):
            if key != "timezone" or value != "UTC":
                yield {**query, key: "UTC"} if key == "timezone" else _without(query, key)
            continue
        for index in range(len(value)):
            rest = value[:index] + value[index + 1 :]
            yield {**query, key: rest} if rest or key == "order" else _without(query, key)
        if key == "filters":
            for index, tree in enumerate(value):
                for simpler in _simpler(tree):
                    yield {**query, key: [*value[:index], simpler, *value[index + 1 :]]}
        if key == "timeDimensions":
            for index, time in enumerate(value):
                for name in ("dateRange", "granularity"):
                    if name in time and len(time) > 2:
                        yield {**query, key: [*value[:index], _without(time, name), *value[index + 1 :]]}


def _simpler(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operator in ("and", "or"):
        parts = tree.get(operator, ())
        yield from parts
        for index, part in enumerate(parts):
            if len(parts) > 1:
                yield {operator: [*parts[:index], *parts[index + 1 :]]}
            for simpler in _simpler(part):
                yield {operator: [*parts[:index], simpler, *parts[index + 1 :]]}
    values = tree.get("values", ())
    for index in range(len(values) if len(values) > 1 else 0):
        yield {**tree, "values": [*values[:index], *values[index + 1 :]]}


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {each: value for each, value in mapping.items() if each != key}


def _worlds(world: World) -> Iterator[World]:
    if world.views:
        yield replace(world, views={})
    for name in world.cubes:
        cubes = {each: _unjoined(cube, name) for each, cube in world.cubes.items() if each != name}
        yield replace(world, cubes=cubes, views={})
    for name, table in world.tables.items():
        if not any(cube.table == name for cube in world.cubes.values()):
            yield replace(world, tables=_without(world.tables, name))
        for index in range(len(table.rows)):
            rows = [*table.rows[:index], *table.rows[index + 1 :]]
            yield replace(world, tables={**world.tables, name: replace(table, rows=rows)})
    for name, cube in world.cubes.items():
        for smaller in _smaller_cubes(cube):
            yield replace(world, cubes={**world.cubes, name: smaller})
    for name, table in world.tables.items():
        for column in table.columns:
            if not any(_uses(cube, column) for cube in world.cubes.values()):
                yield replace(world, tables={**world.tables, name: _narrower(table, column)})


def _unjoined(cube: Cube, name: str) -> Cube:
    return replace(cube, joins=[join for join in cube.joins if join.target != name])


def _smaller_cubes(cube: Cube) -> Iterator[Cube]:
    for index in range(len(cube.joins)):
        yield replace(cube, joins=[*cube.joins[:index], *cube.joins[index + 1 :]])
    for name in [name for name in cube.dims if name not in cube.key]:
        yield replace(cube, dims=_without(cube.dims, name))
    for name, measure in cube.measures.items():
        yield replace(cube, measures=_without(cube.measures, name))
        if measure.filters:
            yield replace(cube, measures={**cube.measures, name: replace(measure, filters=[])})
    if cube.segments:
        yield replace(cube, segments={})
    if cube.tenant:
        yield replace(cube, tenant=None)


def _uses(cube: Cube, column: str) -> bool:
    return f"'{column}'" in repr(cube)


def _narrower(table: Table, column: str) -> Table:
    place = list(table.columns).index(column)
    rows = [[*row[:place], *row[place + 1 :]] for row in table.rows]
    return Table(_without(table.columns, column), rows)
