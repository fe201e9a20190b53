"""Joined rows of a world: nested loops over small tables, members read on them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.engine.worlds import terms
from tests.engine.worlds.asks import Ask, Cond, Named, Path, Tree, conds
from tests.engine.worlds.clock import length, moved, wall
from tests.engine.worlds.conditions import holds, meets
from tests.engine.worlds.terms import Term
from tests.engine.worlds.trees import Edge, join_tree
from tests.engine.worlds.world import Dim, World

Row = dict[str, Any]
Joined = dict[str, Row | None]


class Rows:
    """The rows that one caller may read (`tenant` None: all), joined, filtered, with the values of members."""

    def __init__(self, world: World, tenant: int | None) -> None:
        self.world = world
        self.guarded = {name for name, cube in world.cubes.items() if cube.tenant and tenant is not None}
        self.tables = {name: self._read(name, tenant) for name in world.cubes}

    def _read(self, name: str, tenant: int | None) -> list[Row]:
        cube = self.world.cubes[name]
        table = self.world.tables[cube.table]
        kinds = list(table.columns.items())
        rows = [
            {column: _cell(kind, cell) for (column, kind), cell in zip(kinds, row, strict=True)} for row in table.rows
        ]
        return [row for row in rows if name not in self.guarded or row["tenant"] == tenant]

    # --- joins ---

    def paths(self, member: Named) -> list[Path]:
        """The ways that a member needs: to its cube, and to the cubes that its term names."""
        found = [member.path]
        for path in self._term_paths(member.cube, member.name):
            found.append(path)
        return list(dict.fromkeys(found))

    def _term_paths(self, cube: str, name: str) -> list[Path]:
        own = self.world.cubes[cube]
        dim = own.dims.get(name)
        if dim is not None:
            listed = [] if dim.sub_query else [dim.term]
        elif name in own.segments:
            listed = [own.segments[name]]
        else:
            listed = [own.measures[name].term, *own.measures[name].filters]
        return [path for term in listed if term is not None for path in self.within(cube, term)]

    def within(self, cube: str, term: Term) -> list[Path]:
        """The ways to the cubes that a term names."""
        found: list[Path] = []
        for each in terms.walk(term):
            if each[0] == "member":
                *way, name = each[1].split(".")
                if way:
                    found.append(tuple(way))
                found += self._term_paths(way[-1] if way else cube, name)
        return [path for path in found if path != (cube,)]

    def joined(self, paths: list[Path], fact: str | None, where: Iterable[Tree], zone: str, outer: Ask) -> list[Joined]:
        """The rows of the tree over the paths which meet the conditions."""
        every = [*paths, *(path for cond in conds(where) for path in self.paths(cond.member))]
        tree = join_tree(self.world, every, outer.root or fact)
        rows: list[Joined] = [{tree.root: row} for row in self.tables[tree.root]]
        safe = {tree.root: tree.root in self.guarded}
        for edge in tree.edges:
            child = edge.join.target
            strict = child in self.guarded and edge.join.relationship != "one_to_many" and not safe[edge.parent]
            safe[child] = safe[edge.parent] or child in self.guarded
            rows = [each for row in rows for each in self._partners(row, edge, strict)]
        return [row for row in rows if all(holds(tree, lambda cond: self.test(cond, row, outer)) for tree in where)]  # noqa: B023

    def _partners(self, row: Joined, edge: Edge, strict: bool) -> list[Joined]:
        parent, child = row[edge.parent], edge.join.target
        found: list[Joined] = []
        for other in self.tables[child]:
            if parent is not None and all(_equal(parent[own], other[theirs]) for own, theirs in edge.join.on):
                found.append({**row, child: other})
        return found or ([] if strict else [{**row, child: None}])

    # --- values ---

    def test(self, cond: Cond, row: Joined, ask: Ask) -> bool:
        """Whether a row meets one condition."""
        own = self.world.cubes[cond.member.cube]
        if cond.operator == "segment":
            return self.term(own.segments[cond.member.name], cond.member.cube, row, ask) is True
        if cond.operator == "measureFilter":
            filters = own.measures[cond.member.name].filters
            return all(self.term(each, cond.member.cube, row, ask) is True for each in filters)
        return meets(cond, self.asked(cond.member, row, ask), own.dims[cond.member.name].type, ask.zone)

    def asked(self, member: Named, row: Joined, ask: Ask) -> Any:
        """A dimension's value as the question sees it: a time that is shifted, shifted on the wall."""
        value = self.value(member, row, ask)
        for time, interval, times in ask.moved:
            if time.full == member.full and value is not None:
                value = moved(wall(value, ask.zone), length(interval), times)
        return value

    def value(self, member: Named, row: Joined, ask: Ask) -> Any:
        """A dimension's value on a row."""
        dim = self.world.cubes[member.cube].dims[member.name]
        if dim.sub_query:
            found = row[member.cube]
            return None if found is None else self.sub_query(member, dim, found, ask)
        assert dim.term is not None
        value = self.term(dim.term, member.cube, row, ask)
        return bool(value) if dim.type == "boolean" and value is not None else value

    def sub_query(self, member: Named, dim: Dim, row: Row, ask: Ask) -> Any:
        """A measure for one row of the cube."""
        raise NotImplementedError

    def term(self, term: Term, cube: str, row: Joined, ask: Ask) -> Any:
        """A term of a cube on a row; what is not there is NULL."""

        def see(leaf: Term) -> Any:
            if leaf[0] == "column":
                own = row[cube]
                return None if own is None else own[leaf[1]]
            *way, name = leaf[1].split(".")
            target = way[-1] if way else cube
            return self.value(Named((target,), target, name), row, ask)

        return terms.evaluate(term, see)


def _equal(left: Any, right: Any) -> bool:
    return left is not None and bool(left == right)


def _cell(kind: str, cell: Any) -> Any:
    if cell is None:
        return None
    if "Date" in kind:
        return datetime.fromisoformat(cell).replace(tzinfo=UTC) if "DateTime" in kind else date.fromisoformat(cell)
    return Decimal(cell) if "Decimal" in kind else cell
