"""References resolved: each member's SQL spelled out over cube aliases, once, when the model is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from core.errors import ModelError, nearest
from engine.model.catalog import Cube, Dimension, Expanded, Measure, Member, View
from engine.model.expansion import Expansion
from engine.model.markers import MASKED, MOST, identifier, scanned, too_large, unmasked
from engine.model.schema import Mistakes
from engine.model.selection import select_of
from engine.model.terms import Reference, Source

_DEEPEST = 30
_TABLES = 100


class Expander:
    """Spells out members on demand, remembering each; `stack` finds members that refer to themselves.

    `maskable` members are those which some policy masks.
    """

    def __init__(self, cubes: Mapping[str, Cube], mistakes: Mistakes, maskable: frozenset[str] = frozenset()) -> None:
        self.cubes = cubes
        self.maskable = maskable
        self.mistakes = mistakes
        self.faults: list[ModelError] = []
        self.done: dict[str, Expanded] = {}
        self.stack: list[str] = []
        self.sizes: dict[str, int] = {}
        self.filter_params: dict[tuple[str, str], Source] = {}

    def everything(self) -> dict[str, Expanded]:
        """All members, tables and joins. A reference to nothing is a fault: only what uses it cannot be asked."""
        for cube in self.cubes.values():
            members: list[Member] = [*cube.dimensions.values(), *cube.measures.values(), *cube.segments.values()]
            for member in members:
                self._guarded(member)
            for dimension in cube.dimensions.values():
                self._granularities(dimension)
            self._joins(cube)
            self._table(cube)
            self._masks(cube)
        self._circles()
        return self.done

    def _masks(self, cube: Cube) -> None:
        """What members show to those to whom they are masked, as `cube.member#mask`."""
        members: list[Dimension | Measure] = [*cube.dimensions.values(), *cube.measures.values()]
        for member in members:
            if member.full_name not in self.maskable or member.mask is None or member.mask.sql is None:
                continue
            expansion = Expansion(self, cube)
            try:
                tree = unmasked(expansion.sql(member.mask.sql))
            except ModelError as error:
                self._fault(error)
                tree = exp.null()
                self.stack.clear()
            if (
                len(expansion.paths) > 1
                or expansion.sub_queries
                or (expansion.measures and isinstance(member, Dimension))
            ):
                problem = f"the mask of '{member.full_name}' must do without joins and aggregates."
                self.mistakes.add(member.source, problem, key="mask")
            self.done[f"{member.full_name}#mask"] = Expanded(tree, (), measures=tuple(expansion.measures))

    def masked(self, name: str, tree: exp.Expr) -> exp.Expr:
        """A dimension's SQL, marked where some callers see it masked."""
        if name not in self.maskable:
            return tree
        return exp.Anonymous(this=MASKED, expressions=[exp.Literal.string(name), tree])

    def _granularities(self, dimension: Dimension) -> None:
        """Buckets made by SQL, as `cube.dimension.granularity`."""
        for each in dimension.granularities.values():
            if each.sql is None:
                continue
            name = f"{dimension.full_name}.{each.name}"
            expansion = Expansion(self, self.cubes[dimension.cube])
            try:
                tree = self.masked(dimension.full_name, expansion.sql(each.sql))
            except ModelError as error:
                self._fault(error)
                tree, expansion.unsupported = exp.null(), f"broken SQL ({error})"
                self.stack.clear()
            if len(expansion.paths) > 1 or expansion.measures or expansion.sub_queries:
                self.mistakes.add(each.source, f"the sql of '{name}' must do without joins.", key="sql")
            self.done[name] = Expanded(tree, expansion.ways(), unsupported=expansion.unsupported)

    def asked(self, reference: Reference, source: Source) -> None:
        """Remember which members FILTER_PARAMS names; views, which may be among them, are read later."""
        for each in reference.parts or (reference,):
            if each.kind == "filter_params":
                self.filter_params.setdefault((each.path[0], each.member or ""), source)

    def check_filter_params(self, owners: Mapping[str, Cube | View]) -> None:
        """Note each FILTER_PARAMS of a member that is not there as a fault."""
        for (owner, name), source in self.filter_params.items():
            if owner not in owners or owners[owner].member(name) is None:
                found = owners.get(owner)
                known = [*found.dimensions, *found.measures] if found else list(owners)
                close = nearest(name if found else owner, known)
                hint = f"Did you mean '{close[0]}'?" if close else None
                problem = f"{source}: sql: FILTER_PARAMS names '{owner}.{name}', which is not there."
                self._fault(ModelError(problem, hint=hint, file=source.file, line=source.line, key="sql"))

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
        if len(self.stack) >= _DEEPEST:
            raise _too_large(member.source, f"members refer to each other more than {_DEEPEST} deep")
        self.stack.append(name)
        result = Expansion(self, self.cubes[member.cube]).of(member)
        if isinstance(member, Dimension) and result.tree is not None:
            result = replace(result, tree=self.masked(name, result.tree))
        self.stack.pop()
        problem = self._size_problem(name, result)
        if problem:
            raise _too_large(member.source, f"with its references spelled out, {problem}")
        self.done[name] = result
        return result

    def _size_problem(self, name: str, result: Expanded) -> str | None:
        """What makes a member too large, measures within it counted as often as they stand there."""
        size = 0
        for tree in (result.tree, result.condition):
            if tree is None or isinstance(tree, exp.Column):
                continue
            problem = too_large(tree)
            if problem:
                return problem
            if result.measures:
                size += sum(self.sizes.get(each.name, 1) for each in tree.find_all(exp.Placeholder))
        self.sizes[name] = size + 1
        return f"it has more than {MOST} parts" if size > MOST else None

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
            self.done[f"{cube.name}#table"] = Expanded(_table(cube.table), (), unsupported=cube.unsupported)
        elif cube.sql is not None:
            problem = cube.unsupported
            try:
                tree = select_of(self, cube.name, cube.sql)
            except ModelError as error:
                self._fault(error)
                tree, problem = exp.to_table(cube.name), f"broken SQL ({error})"
                self.stack.clear()
            self.done[f"{cube.name}#table"] = Expanded(tree, (), unsupported=problem)

    def _circles(self) -> None:
        """Cubes whose tables read each other without end, or too many times."""
        counts: dict[str, int] = {}
        for name, cube in self.cubes.items():
            way = _way_back(name, self.done)
            if way and cube.sql:
                problem = f"the cube reads its own table: {' → '.join(way)}."
                self.mistakes.add(cube.sql.source, problem, key="sql")
        for name, cube in self.cubes.items():
            if cube.sql and not self.mistakes.errors and self._tables(name, counts, 0) > _TABLES:
                problem = f"tables of other cubes unfold to more than {_TABLES}, or more than {_DEEPEST} deep."
                self.mistakes.add(cube.sql.source, problem, key="sql")

    def _tables(self, name: str, counts: dict[str, int], depth: int) -> int:
        """How many tables a cube reads, those within the tables of others included."""
        if depth > _DEEPEST:
            return _TABLES + 1
        if name not in counts:
            spelled = self.done.get(f"{name}#table")
            inner = scanned(spelled.tree) if spelled and spelled.tree else []
            counts[name] = min(_TABLES + 1, 1 + sum(self._tables(each, counts, depth + 1) for each in inner))
        return counts[name]


def _too_large(source: Source, problem: str) -> ModelError:
    return ModelError(f"{source}: sql: {problem}.", file=source.file, line=source.line, key="sql")


def _table(text: str) -> exp.Table:
    parts = [part.strip('`"') for part in re.findall(r'`[^`]*`|"[^"]*"|[^.]+', text)]
    names = [identifier(part) if part.isidentifier() else exp.to_identifier(part) for part in parts]
    return exp.Table(this=names[-1], db=names[-2] if len(names) > 1 else None)


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
