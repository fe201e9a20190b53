"""A model as plain data, and its YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.engine.worlds import terms
from tests.engine.worlds.clock import Custom
from tests.engine.worlds.terms import Term

DATABASE = "worlds"
Cell = Any
"""As in JSON: times as ISO texts in UTC, decimals as texts."""


@dataclass(frozen=True)
class Table:
    """Columns (name → ClickHouse type) and rows."""

    columns: dict[str, str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Join:
    """LEFT JOIN to `target` where each pair of columns (own, other) is equal."""

    target: str
    relationship: str
    on: list[tuple[str, str]]


@dataclass(frozen=True)
class Dim:
    """A dimension: a term, or (`sub_query`) a measure for each row of the cube."""

    type: str
    term: Term | None = None
    sub_query: str | None = None
    propagate: bool = False
    granularities: dict[str, Custom] = field(default_factory=dict)
    labels: bool = False


@dataclass(frozen=True)
class Meas:
    """A measure; `more` has the keys of rolling and multi-stage measures as in the YAML."""

    type: str
    term: Term | None = None
    filters: list[Term] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cube:
    """A cube; `tenant` is the dimension by which its rows are kept from others, `parent` the cube that it extends."""

    table: str
    key: list[str]
    joins: list[Join]
    dims: dict[str, Dim]
    measures: dict[str, Meas]
    segments: dict[str, Term]
    tenant: str | None = None
    parent: str | None = None


@dataclass(frozen=True)
class World:
    """Everything; a view's members are `cube_member` of the last cube of each of its paths."""

    tables: dict[str, Table]
    cubes: dict[str, Cube]
    views: dict[str, list[str]] = field(default_factory=dict)

    def resolve(self, name: str) -> tuple[tuple[str, ...], str, str]:
        """The path, cube and member behind a public name."""
        owner, member = name.split(".", 1)
        for path in self.views.get(owner, ()):
            last = path.rsplit(".", 1)[-1]
            own = self.cubes[last]
            if member.startswith(f"{last}_") and member[len(last) + 1 :] in {
                **own.dims,
                **own.measures,
                **own.segments,
            }:
                return tuple(path.split(".")), last, member[len(last) + 1 :]
        return (owner,), owner, member

    def yaml(self) -> str:
        """The model file."""
        return yaml.safe_dump(self.model(), sort_keys=False, allow_unicode=True, width=1000)

    def model(self) -> dict[str, Any]:
        """The model as in the YAML."""
        views = [{"name": name, "cubes": [_included(path) for path in paths]} for name, paths in self.views.items()]
        cubes = [_cube(name, cube) for name, cube in self.cubes.items()]
        return {"cubes": cubes, **({"views": views} if views else {})}


def _included(path: str) -> dict[str, Any]:
    return {"join_path": path, "includes": "*", "prefix": True}


def _cube(name: str, cube: Cube) -> dict[str, Any]:
    if cube.parent:
        return {"name": name, "extends": cube.parent}
    shown: dict[str, Any] = {"name": name, "sql_table": f"{DATABASE}.{cube.table}"}
    if cube.joins:
        shown["joins"] = [_join(each) for each in cube.joins]
    shown["dimensions"] = [_dim(each, dim, each in cube.key) for each, dim in cube.dims.items()]
    shown["measures"] = [_measure(each, measure) for each, measure in cube.measures.items()]
    if cube.segments:
        shown["segments"] = [{"name": each, "sql": terms.text(term)} for each, term in cube.segments.items()]
    if cube.tenant:
        values = ["{security_context.tenant}"]
        rows = {"filters": [{"member": cube.tenant, "operator": "equals", "values": values}]}
        shown["access_policy"] = [{"group": "member", "row_level": rows}]
    return shown


def _join(join: Join) -> dict[str, Any]:
    sql = " AND ".join(f"{{CUBE}}.{own} = {{{join.target}}}.{other}" for own, other in join.on)
    return {"name": join.target, "relationship": join.relationship, "sql": sql}


def _dim(name: str, dim: Dim, key: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "type": dim.type}
    if key:
        shown |= {"primary_key": True, "public": True}
    if dim.sub_query:
        shown |= {"sql": f"{{{dim.sub_query}}}", "sub_query": True}
        return shown | ({"propagate_filters_to_sub_query": True} if dim.propagate else {})
    assert dim.term is not None
    if dim.labels:
        branches, otherwise = dim.term[1:]
        when = [{"sql": terms.text(condition), "label": result[1]} for condition, result in branches]
        return shown | {"case": {"when": when, **({"else": {"label": otherwise[1]}} if otherwise else {})}}
    shown["sql"] = terms.text(dim.term)
    if dim.granularities:
        shown["granularities"] = [{"name": each, **custom} for each, custom in dim.granularities.items()]
    return shown


def _measure(name: str, measure: Meas) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "type": measure.type}
    if measure.term is not None:
        shown["sql"] = terms.text(measure.term)
    if measure.filters:
        shown["filters"] = [{"sql": terms.text(each)} for each in measure.filters]
    return shown | measure.more
