"""Strategies: stars, snowflakes, several facts, bridges, cubes twice; NULL keys, orphans, composite keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from tests.engine.worlds.columns import BOOLEAN, CUSTOM, KINDS, NUMBER, SHIFTS, STRING, TIME, WINDOWS
from tests.engine.worlds.terms import Term
from tests.engine.worlds.world import Cube, Dim, Join, Meas, Table, World

TENANTS = (1, 2)
_KEYS: list[tuple[tuple[str, ...], str, list[tuple[Any, ...]]]] = [
    (("id",), "Int64", [(1,), (2,), (3,), (11,)]),
    (("id",), "UInt64", [(1,), (2**53,), (2**53 + 1,), (2**64 - 1,)]),
    (("id",), "String", [("1",), ("",), ("x",), ("X",)]),
    (("a", "b"), "Int64", [(1, 11), (11, 1), (1, 1), (111, 1)]),
    (("a", "b"), "String", [("1", "11"), ("11", "1"), ("", "x"), ("x", "")]),
]


@dataclass
class _Entity:
    """A table on its way to be a cube."""

    name: str
    key: tuple[str, ...]
    key_type: str
    keys: list[tuple[Any, ...]]
    links: list[tuple[_Entity, tuple[str, ...], str]] = field(default_factory=list)
    data: dict[str, tuple[str, str, list[Any]]] = field(default_factory=dict)
    protected: bool = False
    dims: dict[str, Dim] = field(default_factory=dict)
    parents: list[_Entity] = field(default_factory=list)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world of two to five tables."""
    entities: list[_Entity] = []
    protected = draw(st.sampled_from([False, False, True]))
    for number in range(draw(st.integers(2, 5))):
        entity = _entity(draw, number, entities)
        entity.protected = protected and draw(st.booleans())
        entities.append(entity)
    tables = {f"w{entity.name}": _table(draw, entity) for entity in entities}
    joins = _joins(draw, entities)
    cubes = {entity.name: _cube(draw, entity, joins[entity.name]) for entity in entities}
    for entity in entities:
        cubes[entity.name].measures.update(_aggregates(draw, entity))
    for name, cube in cubes.items():
        _sub_query(draw, name, cubes)
        cube.measures.update(_formulas(draw, name, cubes))
        cube.measures.update(_stages(draw, name, cube))
    _again(entities, cubes)
    return World(tables, cubes, _views(draw, cubes))


def _entity(draw: st.DrawFn, number: int, known: list[_Entity]) -> _Entity:
    key, key_type, keys = draw(st.sampled_from(_KEYS))
    kept = draw(st.lists(st.sampled_from(keys), max_size=4, unique=True))
    entity = _Entity(f"c{number}", key, key_type, kept)
    for index in range(draw(st.integers(0 if not known else 1, 2)) if known else 0):
        other = draw(st.sampled_from(known))
        columns = tuple(f"l{index}_{each}" for each in other.key)
        entity.links.append((other, columns, draw(st.sampled_from(["one", "one", "many", "both"]))))
    for index in range(draw(st.integers(1, 4))):
        kind = (
            [STRING, NUMBER, TIME, BOOLEAN][index]
            if draw(st.booleans())
            else draw(st.sampled_from([NUMBER, TIME, STRING]))
        )
        column_type, values = draw(st.sampled_from(KINDS[kind]))
        entity.data[f"{kind[0]}{index}"] = (kind, column_type, values)
    return entity


def _table(draw: st.DrawFn, entity: _Entity) -> Table:
    columns = dict.fromkeys(entity.key, entity.key_type)
    cells: list[Callable[[], tuple[Any, ...]]] = []
    for other, own, _ in entity.links:
        columns |= dict.fromkeys(own, f"Nullable({other.key_type})")
        orphan = ("nobody",) * len(own) if other.key_type == "String" else (77,) * len(own)
        half = (other.keys[0][0], *(None,) * (len(own) - 1)) if other.keys and len(own) > 1 else (None,) * len(own)
        pool = st.sampled_from([*other.keys, *other.keys, *other.keys, orphan, (None,) * len(own), half])
        cells.append(lambda pool=pool: draw(pool))  # type: ignore[misc]
    for name, (_, column_type, values) in entity.data.items():
        columns[name] = column_type
        pool = st.sampled_from(values)
        cells.append(lambda pool=pool: (draw(pool),))  # type: ignore[misc]
    columns["tenant"] = "UInt8"
    rows = [[*key, *(cell for make in cells for cell in make()), draw(st.sampled_from(TENANTS))] for key in entity.keys]
    return Table(columns, rows)


def _joins(draw: st.DrawFn, entities: list[_Entity]) -> dict[str, list[Join]]:
    found: dict[str, dict[str, Join]] = {entity.name: {} for entity in entities}
    for entity in entities:
        for other, own, direction in entity.links:
            if direction in ("one", "both") and other.name not in found[entity.name]:
                pairs = list(zip(own, other.key, strict=True))
                found[entity.name][other.name] = Join(other.name, "many_to_one", pairs)
                entity.parents.append(other)
            if direction in ("many", "both") and entity.name not in found[other.name]:
                pairs = list(zip(other.key, own, strict=True))
                found[other.name][entity.name] = Join(entity.name, "one_to_many", pairs)
    return {name: list(joins.values()) for name, joins in found.items()}


def _cube(draw: st.DrawFn, entity: _Entity, joins: list[Join]) -> Cube:
    kind = STRING if entity.key_type == "String" else NUMBER
    dims = {key: Dim(kind, ["column", key]) for key in entity.key}
    for name, (type_, _, _) in entity.data.items():
        custom = {"own": draw(st.sampled_from(CUSTOM))} if type_ == TIME and draw(st.booleans()) else {}
        dims[name] = Dim(type_, ["column", name], granularities=custom)
    dims["tenant"] = Dim(NUMBER, ["column", "tenant"])
    entity.dims = dims
    for index in range(draw(st.integers(0, 2))):
        dims[f"x{index}"] = _derived(draw, entity)
    segments = {"some": condition(draw, entity)} if draw(st.booleans()) else {}
    return Cube(f"w{entity.name}", list(entity.key), joins, dims, {}, segments, "tenant" if entity.protected else None)


def _plain(entity: _Entity, kind: str, *, above: bool = True) -> list[tuple[Term, str]]:
    """Columns of a kind with their ClickHouse types: the entity's own, and by reference those of its parents."""
    found: list[tuple[Term, str]] = []
    for name, (type_, column_type, _) in entity.data.items():
        if type_ == kind:
            found += [(["column", name], column_type), (["member", name], column_type)]
    for parent in entity.parents if above else ():
        own = [(name, column) for name, (type_, column, _) in parent.data.items() if type_ == kind]
        found += [(["member", f"{parent.name}.{name}"], column) for name, column in own]
    return found


def _derived(draw: st.DrawFn, entity: _Entity) -> Dim:
    options: list[Dim] = []
    for kind in (STRING, NUMBER, TIME, BOOLEAN):
        options += [Dim(kind, term) for term, _ in _plain(entity, kind) if "." in str(term[1])]
    options += [Dim(NUMBER, ["+", term, ["value", 1]]) for term, type_ in _plain(entity, NUMBER) if "Int32" in type_]
    branches = [[condition(draw, entity), ["value", "it's"]]]
    options.append(Dim(STRING, ["case", branches, draw(st.sampled_from([None, ["value", "else"]]))], labels=True))
    return draw(st.sampled_from(options))


def condition(draw: st.DrawFn, entity: _Entity) -> Term:
    """A condition on a row."""
    options: list[Term] = [["=", ["column", "tenant"], ["value", 1]]]
    for term, column_type in _plain(entity, NUMBER):
        if "Decimal" not in column_type:
            options += [[">", term, ["value", 1]], ["<=", term, ["value", 2]]]
    for term, _ in _plain(entity, STRING):
        options += [["=", term, ["value", "Ada"]], ["null", term], ["<>", term, ["value", "Bo_b"]]]
    for term, _ in _plain(entity, BOOLEAN):
        options.append(["=", term, ["value", 1]])
    for term, _ in _plain(entity, TIME):
        options.append(["null", term])
    first = draw(st.sampled_from(options))
    if draw(st.sampled_from([True, False, False, False])):
        return [draw(st.sampled_from(["and", "or"])), first, draw(st.sampled_from(options))]
    return first


def _aggregates(draw: st.DrawFn, entity: _Entity) -> dict[str, Meas]:
    numbers = [(term, kind) for term, kind in _plain(entity, NUMBER) if not kind.startswith("UInt64")]
    every = [term for kind in (NUMBER, STRING, BOOLEAN) for term, _ in _plain(entity, kind)]
    times = [term for term, _ in _plain(entity, TIME)]
    options = [("count", None), *((kind, term) for term in every for kind in ("count", "count_distinct"))]
    options += [(kind, term) for term, _ in numbers for kind in ("sum", "sum", "avg", "min", "max")]
    options += [("count_distinct", term) for term in times]
    found = {"count": Meas("count")}
    for index in range(draw(st.integers(1, 4))):
        kind, term = draw(st.sampled_from(options))
        filters = [condition(draw, entity)] if draw(st.sampled_from([True, False, False])) else []
        found[f"m{index}"] = Meas(kind, term, filters)
        if draw(st.booleans()):
            found[f"r{index}"] = Meas(kind, term, filters, {"rolling_window": draw(st.sampled_from(WINDOWS))})
    return found


def _sub_query(draw: st.DrawFn, name: str, cubes: dict[str, Cube]) -> None:
    """A dimension that is a measure of a cube near by, and perhaps a sum of it."""
    near = [join.target for join in cubes[name].joins if join.relationship == "one_to_many"]
    if draw(st.booleans()) and near:
        target = draw(st.sampled_from(near))
        measures = [each for each, meas in cubes[target].measures.items() if not meas.more]
        measure = draw(st.sampled_from(measures))
        cubes[name].dims["sub"] = Dim(NUMBER, sub_query=f"{target}.{measure}", propagate=draw(st.booleans()))
        if draw(st.booleans()):
            cubes[name].measures["of_sub"] = Meas(draw(st.sampled_from(["sum", "max", "avg"])), ["member", "sub"])


def _formulas(draw: st.DrawFn, name: str, cubes: dict[str, Cube]) -> dict[str, Meas]:
    own = [["measure", each] for each in cubes[name].measures]
    others = [
        ["measure", f"{join.target}.{each}"]
        for join in cubes[name].joins
        for each, meas in cubes[join.target].measures.items()
        if meas.type not in ("number", "time")
    ]
    found: dict[str, Meas] = {}
    for index in range(draw(st.integers(0, 2))):
        left, right = draw(st.sampled_from(own)), draw(st.sampled_from([*own, *others]))
        head = draw(st.sampled_from(["/", "/", "+", "-", "coalesce", "raw"]))
        if head == "raw":
            columns = [each for each, dim in cubes[name].dims.items() if each.startswith("n") and dim.term]
            inner = ["aggregate", "max", ["column", draw(st.sampled_from(columns))]] if columns else left
            found[f"f{index}"] = Meas("number", ["/", inner, left])
        elif head == "coalesce":
            found[f"f{index}"] = Meas("number", ["-", ["coalesce", right, ["value", 0]], left])
        else:
            found[f"f{index}"] = Meas("number", [head, left, right])
    return found


def _stages(draw: st.DrawFn, name: str, cube: Cube) -> dict[str, Meas]:
    plain = [each for each, meas in cube.measures.items() if not meas.more and meas.type not in ("number", "time")]
    own = [f"{name}.{each}" for each, dim in cube.dims.items() if dim.sub_query is None]
    found: dict[str, Meas] = {}
    for index in range(draw(st.integers(0, 2))):
        how = draw(st.sampled_from(["group_by", "reduce_by", "fold", "add_group_by", "time_shift"]))
        dims = draw(st.lists(st.sampled_from(own), min_size=how == "add_group_by", max_size=2, unique=True))
        kind = (
            draw(st.sampled_from(["sum", "min", "max", "avg", "count"]))
            if how in ("fold", "add_group_by")
            else "number"
        )
        key = "reduce_by" if how == "fold" else how
        value = [draw(st.sampled_from(SHIFTS))] if how == "time_shift" else dims
        term = ["measure", draw(st.sampled_from(plain))]
        found[f"g{index}"] = Meas(kind, term, [], {"multi_stage": True, key: value})
    return found


def _again(entities: list[_Entity], cubes: dict[str, Cube]) -> None:
    """Where a table has two links to another one, the second leads to a copy of that cube."""
    for entity in entities:
        targets = [other.name for other, _, _ in entity.links]
        if len(targets) == 2 and targets[0] == targets[1]:
            other, own, _ = entity.links[1]
            name = f"{other.name}_again"
            cubes.setdefault(name, replace(cubes[other.name], parent=other.name))
            cubes[entity.name].joins.append(Join(name, "many_to_one", list(zip(own, other.key, strict=True))))


def _views(draw: st.DrawFn, cubes: dict[str, Cube]) -> dict[str, list[str]]:
    if not draw(st.booleans()):
        return {}
    path = draw(st.sampled_from(sorted(cubes)))
    paths, seen = [path], {path}
    for _ in range(3):
        nexts = [
            f"{path}.{join.target}"
            for path in paths
            for join in cubes[path.rsplit(".", 1)[-1]].joins
            if join.target not in seen
        ]
        if nexts:
            chosen = draw(st.sampled_from(nexts))
            seen.add(chosen.rsplit(".", 1)[-1])
            paths.append(chosen)
    return {"v": paths}
