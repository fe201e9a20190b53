"""One SQL text of the model spelled out: each reference replaced by the SQL of what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import ModelError, nearest
from engine.model.asked import ASKED, asked
from engine.model.catalog import Case, Cube, Dimension, Expanded, Measure, Member
from engine.model.markers import (
    FORMULAS,
    LOCAL,
    SCAN,
    TRUNCATED,
    identifier,
    null_on_zero,
    sub_query_alias,
)
from engine.model.references import SELF, marked, parse_condition
from engine.model.terms import PREDEFINED, Reference, Source, Sql

if TYPE_CHECKING:
    from engine.model.expand import Expander


class Expansion:
    """One SQL text being spelled out, and what was met on the way."""

    def __init__(self, expander: Expander, cube: Cube) -> None:
        self.expander = expander
        self.cube = cube
        self.paths: dict[tuple[str, ...], None] = {(cube.name,): None}
        self.measures: dict[str, None] = {}
        self.sub_queries: dict[str, None] = {}
        self.unsupported: str | None = None
        self.staged = False

    def ways(self) -> tuple[tuple[str, ...], ...]:
        """The join paths met, the cube itself first."""
        return tuple(self.paths)

    def of(self, member: Member) -> Expanded:
        """The member's value, and the condition under which a measure counts a row."""
        self.unsupported = getattr(member, "unsupported", None)
        condition = None
        if isinstance(member, Dimension):
            tree: exp.Expr | None = self._dimension(member)
            for index, shift in enumerate(member.shifts):
                shown = Expanded(self.sql(shift.sql), ()) if shift.sql is not None else Expanded(None, ())
                self.expander.done[f"{member.full_name}#shift{index}"] = shown
        elif isinstance(member, Measure):
            self.staged = member.stage is not None or member.case is not None
            tree = self._measure_value(member)
            condition = self._all(member.filters)
            if member.drill_filters:
                rows = self._all((*member.filters, *member.drill_filters))
                self.expander.done[f"{member.full_name}#rows"] = Expanded(None, (), rows)
            if self.measures and member.type not in FORMULAS and member.stage is None and not self.unsupported:
                self.unsupported = "aggregates of aggregates (multi_stage: true)"
        else:
            tree = self.sql(member.sql)
        if not isinstance(member, Measure) and self.measures:
            self.unsupported = self.unsupported or "an aggregate for each row (a dimension with sub_query: true)"
        return Expanded(tree, self.ways(), condition, tuple(self.measures), tuple(self.sub_queries), self.unsupported)

    def _measure_value(self, measure: Measure) -> exp.Expr | None:
        for index, (order, _) in enumerate(measure.stage.order if measure.stage else ()):
            self.expander.done[f"{measure.full_name}#order{index}"] = Expanded(self.sql(order), ())
        if measure.case is not None:
            return self._case(measure.case)
        tree = self.sql(measure.sql) if measure.sql else None
        return null_on_zero(tree) if tree is not None and measure.type in FORMULAS else tree

    def _all(self, conditions: tuple[Sql, ...]) -> exp.Expr | None:
        trees = [exp.paren(self.sql(each), copy=False) for each in conditions]
        return exp.and_(*trees, copy=False) if trees else None

    def _dimension(self, dimension: Dimension) -> exp.Expr:
        if dimension.sub_query or dimension.stage is not None:
            return self._sub_query(dimension)
        if dimension.type == "switch":
            self.sub_queries[dimension.full_name] = None
            return exp.Column(this=identifier("value"), table=identifier(sub_query_alias(dimension.full_name)))
        if dimension.case:
            return self._case(dimension.case)
        if dimension.latitude and dimension.longitude:
            parts = [exp.func("toString", self.sql(each)) for each in (dimension.latitude, dimension.longitude)]
            return exp.func("concat", parts[0], exp.Literal.string(","), parts[1], dialect="clickhouse")
        return self.sql(dimension.sql) if dimension.sql else exp.null()

    def _sub_query(self, dimension: Dimension) -> exp.Expr:
        if dimension.stage is None and not (
            dimension.sql and any(each.kind == "member" for each in dimension.sql.references)
        ):
            self.unsupported = "sub-query dimensions without a measure"
        inner = Expansion(self.expander, self.cube)
        inner.staged = dimension.stage is not None
        if dimension.case is not None:
            tree: exp.Expr = inner._case(dimension.case)
        else:
            tree = inner.sql(dimension.sql) if dimension.sql else exp.null()
        self.unsupported = self.unsupported or inner.unsupported
        self.expander.done[f"{dimension.full_name}#value"] = Expanded(
            tree, inner.ways(), measures=tuple(inner.measures), sub_queries=tuple(inner.sub_queries)
        )
        for name in dimension.stage.include if dimension.stage else ():
            self._include(name, dimension.source)
        self.sub_queries[dimension.full_name] = None
        return exp.Column(this=identifier("value"), table=identifier(sub_query_alias(dimension.full_name)))

    def _include(self, name: str, source: Source) -> None:
        """The way to a dimension by which a stage groups too."""
        cube = self._known(name.partition(".")[0], source)
        member = cube.dimensions.get(name.split(".")[1])
        if member is not None:
            way = () if cube is self.cube else (cube.name,)
            self._absorb(self.expander.member(member), (self.cube.name, *way))

    def _case(self, case: Case) -> exp.Expr:
        switch = self.sql(case.switch) if case.switch is not None else None
        result = exp.Case()
        for when, label in case.when:
            if isinstance(when, Sql):
                condition = self.sql(when)
            else:
                condition = exp.EQ(this=(switch or exp.null()).copy(), expression=exp.Literal.string(when))
            result = result.when(condition, self._label(label), copy=False)
        return result.else_(self._label(case.otherwise), copy=False) if case.otherwise is not None else result

    def _label(self, label: str | Sql) -> exp.Expr:
        return self.sql(label) if isinstance(label, Sql) else exp.Literal.string(label)

    def sql(self, sql: Sql) -> exp.Expr:
        """The text's tree with every reference replaced."""
        root = exp.Paren(this=sql.tree.copy())
        for column in map(_plain, list(root.find_all(exp.Column))):
            if column.table == SELF:
                column.set("table", identifier(self.cube.alias))
                continue
            number = marked(column.table) if column.table else None
            if number is not None:
                column.set("table", identifier(self._cube(sql.references[number], sql.source).alias))
                continue
            number = marked(column.name)
            if number is not None and not column.table:
                column.replace(self._replacement(sql.references[number], sql.source))
        self.nested(root, sql)
        tree: exp.Expr = root.this
        tree.pop()
        return tree

    def nested(self, tree: exp.Expr, sql: Sql) -> dict[str, str]:
        """Tables of other cubes inside a SELECT become `__scan__cube`; cube → the alias that it has there."""
        aliases: dict[str, str] = {}
        for table in list(tree.find_all(exp.Table)):
            number = marked(table.name)
            if number is not None and sql.references[number].kind in ("sql", "cube", "member"):
                reference = sql.references[number]
                name = (reference.path or (reference.member or "",))[0]
                other = self.cube if name == SELF else self._known(name, sql.source)
                table.set("this", exp.to_identifier(SCAN + other.name))
                aliases[other.name] = table.alias or other.name
        return aliases

    def _replacement(self, reference: Reference, source: Source) -> exp.Expr:
        if reference.kind in ASKED:
            self.expander.asked(reference, source)
            return asked(reference, lambda text: self.sql(parse_condition(text, source, bare=False)))
        return self._member(reference, source)

    def _member(self, reference: Reference, source: Source) -> exp.Expr:
        parts = [*reference.path, reference.member or ""]
        cube, rest, path = self._walk(parts, source)
        if len(rest) == 2 and rest[0] in cube.dimensions:
            return self._truncated(cube, rest, path, source)
        member = cube.member(rest[0]) if len(rest) == 1 else None
        if member is None:
            known = [*cube.dimensions, *cube.measures, *cube.segments]
            close = nearest(rest[0], known) if rest else []
            hint = f"Did you mean {cube.name}.{close[0]}?" if close else None
            problem = f"'{cube.name}' has no member '{'.'.join(rest)}'"
            raise ModelError(f"{source}: sql: {problem}.", hint=hint, file=source.file, line=source.line, key="sql")
        if isinstance(member, Measure):
            return self._measure(member)
        if self.staged and isinstance(member, Dimension):
            self.expander.member(member)
            return exp.Placeholder(this=member.full_name)
        inner = self.expander.member(member)
        self._absorb(inner, path)
        tree = inner.tree.copy() if inner.tree is not None else exp.null()
        return tree if isinstance(tree, exp.Column | exp.Literal | exp.Func) else exp.Paren(this=tree)

    def _measure(self, member: Measure) -> exp.Expr:
        inner = self.expander.member(member)
        self.unsupported = self.unsupported or inner.unsupported
        self.measures[member.full_name] = None
        return exp.Placeholder(this=member.full_name)

    def _truncated(self, cube: Cube, rest: list[str], path: tuple[str, ...], source: Source) -> exp.Expr:
        dimension = cube.dimensions[rest[0]]
        if dimension.type != "time":
            problem = f"'{dimension.full_name}' is a {dimension.type}; only a time has granularities"
            raise ModelError(f"{source}: sql: {problem}.", file=source.file, line=source.line, key="sql")
        if rest[1] not in PREDEFINED and rest[1] not in dimension.granularities:
            problem = f"'{dimension.full_name}' has no granularity '{rest[1]}'"
            raise ModelError(f"{source}: sql: {problem}.", file=source.file, line=source.line, key="sql")
        custom = dimension.granularities.get(rest[1])
        if custom is not None and custom.sql is not None:
            tree = self.expander.masked(dimension.full_name, Expansion(self.expander, cube).sql(custom.sql))
            return exp.Anonymous(this=LOCAL, expressions=[tree])
        inner = self.expander.member(dimension)
        self._absorb(inner, path)
        tree = inner.tree.copy() if inner.tree is not None else exp.null()
        name = exp.Literal.string(f"{dimension.full_name}.{rest[1]}")
        return exp.Anonymous(this=TRUNCATED, expressions=[tree, name])

    def _absorb(self, inner: Expanded, path: tuple[str, ...]) -> None:
        for way in inner.paths:
            self.paths[(*path, *way[1:])] = None
        for name in inner.sub_queries:
            self.sub_queries[name] = None
        self.unsupported = self.unsupported or inner.unsupported

    def _walk(self, parts: list[str], source: Source) -> tuple[Cube, list[str], tuple[str, ...]]:
        """The cube in which the reference ends, what is left of it, and the way to that cube."""
        cube = self.cube
        path: tuple[str, ...] = (self.cube.name,)
        rest = list(parts)
        while rest:
            head = rest[0]
            if head in (SELF, self.cube.name) and path == (self.cube.name,) and (len(rest) > 1 or head == SELF):
                rest = rest[1:]
            elif len(rest) > 1 and head in self.expander.cubes and not _is_bucket(cube, rest):
                cube, path, rest = self.expander.cubes[head], (*path, head), rest[1:]
            else:
                break
        if len(rest) > 1 and rest[0] not in cube.dimensions:
            self._known(rest[0], source)
        return cube, rest, path

    def _cube(self, reference: Reference, source: Source) -> Cube:
        names = [*reference.path, *([reference.member] if reference.member else [])]
        if names == [SELF]:
            return self.cube
        path: tuple[str, ...] = (self.cube.name,)
        cube = self.cube
        for name in names:
            cube = self.cube if name == SELF else self._known(name, source)
            if cube is not self.cube:
                path = (*path, cube.name)
        self.paths[path] = None
        return cube

    def _known(self, name: str, source: Source) -> Cube:
        found = self.expander.cubes.get(name)
        if found is None:
            close = nearest(name, [*self.expander.cubes, *self.cube.dimensions, *self.cube.measures])
            hint = f"Did you mean '{close[0]}'?" if close else None
            raise ModelError(
                f"{source}: sql: there is no cube '{name}'.", hint=hint, file=source.file, line=source.line, key="sql"
            )
        return found


def _is_bucket(cube: Cube, rest: list[str]) -> bool:
    """Whether `a.b` is a time dimension and one of its granularities."""
    dimension = cube.dimensions.get(rest[0])
    return (
        dimension is not None
        and dimension.type == "time"
        and (rest[1] in PREDEFINED or rest[1] in dimension.granularities)
    )


def _plain(column: exp.Column) -> exp.Column:
    """`cube.column.part.…` reads a part of a column: the column of the cube itself."""
    owner, *parts = column.parts
    if len(parts) < 2 or not (owner.name == SELF or marked(owner.name) is not None):
        return column
    found = exp.Column(this=parts[0].copy(), table=owner.copy())
    column.replace(exp.Dot.build([found, *(part.copy() for part in parts[1:])]))
    return found
