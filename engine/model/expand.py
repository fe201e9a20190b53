"""References resolved: each member's SQL spelled out over cube aliases, once, when the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from core.errors import ModelError, nearest
from engine.model.catalog import Cube, Expanded, Member
from engine.model.expansion import Expansion
from engine.model.markers import scanned
from engine.model.schema import Mistakes
from engine.model.selection import select_of


class Expander:
    """Spells out members on demand, remembering each; `stack` finds members that refer to themselves."""

    def __init__(self, cubes: Mapping[str, Cube], mistakes: Mistakes) -> None:
        self.cubes = cubes
        self.mistakes = mistakes
        self.faults: list[ModelError] = []
        self.done: dict[str, Expanded] = {}
        self.stack: list[str] = []

    def everything(self) -> dict[str, Expanded]:
        """All members, tables and joins. A reference to nothing is a fault: only what uses it cannot be asked."""
        for cube in self.cubes.values():
            members: list[Member] = [*cube.dimensions.values(), *cube.measures.values(), *cube.segments.values()]
            for member in members:
                self._guarded(member)
            self._joins(cube)
            self._table(cube)
        self._circles()
        return self.done

    def _guarded(self, member: Member) -> None:
        try:
            self.member(member)
        except ModelError as error:
            self._fault(error)
            self.done[member.full_name] = Expanded(exp.null(), ((member.cube,),), unsupported=f"broken SQL ({error})")
            self.stack.clear()

    def _fault(self, error: ModelError) -> None:
        if str(error) not in {str(known) for known in self.faults}:
            self.faults.append(error)

    def member(self, member: Member) -> Expanded:
        """The member spelled out; ModelError if a reference is wrong."""
        name = member.full_name
        if name in self.done:
            return self.done[name]
        if name in self.stack:
            way = " → ".join([*self.stack[self.stack.index(name) :], name])
            raise ModelError(
                f"{member.source}: members refer to each other in a circle: {way}.",
                file=member.source.file,
                line=member.source.line,
                key="sql",
            )
        self.stack.append(name)
        result = Expansion(self, self.cubes[member.cube]).of(member)
        self.stack.pop()
        self.done[name] = result
        return result

    def _joins(self, cube: Cube) -> None:
        for join in cube.joins.values():
            if join.name not in self.cubes:
                close = nearest(join.name, list(self.cubes))
                hint = f"Did you mean '{close[0]}'?" if close else None
                self.mistakes.add(join.source, f"there is no cube '{join.name}' to join.", key="name", hint=hint)
                continue
            expansion = Expansion(self, cube)
            try:
                tree = expansion.sql(join.sql)
            except ModelError as error:
                self._fault(error)
                tree, expansion.unsupported = exp.false(), f"broken SQL ({error})"
            self.done[f"{cube.name}>{join.name}"] = Expanded(
                tree, expansion.ways(), sub_queries=tuple(expansion.sub_queries), unsupported=expansion.unsupported
            )

    def _table(self, cube: Cube) -> None:
        if cube.table is not None:
            parts = [exp.to_identifier(part) for part in cube.table.split(".")]
            table = exp.Table(this=parts[-1], db=parts[-2] if len(parts) > 1 else None)
            self.done[f"{cube.name}#table"] = Expanded(table, ())
        elif cube.sql is not None:
            problem = None
            try:
                tree = select_of(self, cube.name, cube.sql)
            except ModelError as error:
                self._fault(error)
                tree, problem = exp.to_table(cube.name), f"broken SQL ({error})"
                self.stack.clear()
            self.done[f"{cube.name}#table"] = Expanded(tree, (), unsupported=problem)

    def _circles(self) -> None:
        """Cubes whose tables read each other without end."""
        for name, cube in self.cubes.items():
            way = _way_back(name, self.done)
            if way and cube.sql:
                problem = f"the cube reads its own table: {' → '.join(way)}."
                self.mistakes.add(cube.sql.source, problem, key="sql")


def _way_back(start: str, done: Mapping[str, Expanded]) -> list[str]:
    """The way from a cube over the tables in its SELECT back to itself, [] if there is none."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop()
        spelled = done.get(f"{way[-1]}#table")
        for name in scanned(spelled.tree) if spelled and spelled.tree else ():
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
