"""One SQL text of the model spelled out: each reference replaced by the SQL of what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import ModelError, nearest
from engine.model.catalog import Case, Cube, Dimension, Expanded, Measure, Member
from engine.model.markers import (
    CONTEXT,
    FILTERED,
    FORMULAS,
    LOCAL,
    SCAN,
    TRUNCATED,
    identifier,
    null_on_zero,
    plain_table,
    sub_query_alias,
)
from engine.model.references import SELF, marked, parse_fragment
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

    def ways(self) -> tuple[tuple[str, ...], ...]:
        """The join paths met, the cube itself first."""
        return tuple(self.paths)

    def of(self, member: Member) -> Expanded:
        self.unsupported = getattr(member, "unsupported", None)
        condition = None
        if isinstance(member, Dimension):
            tree: exp.Expr | None = self._dimension(member)
        elif isinstance(member, Measure):
            tree = self.sql(member.sql) if member.sql else None
            condition = self._all(member.filters)
            if member.drill_filters:
                rows = self._all((*member.filters, *member.drill_filters))
                self.expander.done[f"{member.full_name}#rows"] = Expanded(None, (), rows)
            tree = null_on_zero(tree) if tree is not None and member.type in FORMULAS else tree
            if self.measures and member.type not in FORMULAS and not self.unsupported:
                self.unsupported = "aggregates of aggregates"
        else:
            tree = self.sql(member.sql)
        if not isinstance(member, Measure) and _has_window(tree, member.sql):
            self.unsupported = self.unsupported or "a window over rows, which belongs into the cube's own sql"
        return Expanded(tree, self.ways(), condition, tuple(self.measures), tuple(self.sub_queries), self.unsupported)

    def _all(self, conditions: tuple[Sql, ...]) -> exp.Expr | None:
        trees = [exp.paren(self.sql(each), copy=False) for each in conditions]
        return exp.and_(*trees, copy=False) if trees else None

    def _dimension(self, dimension: Dimension) -> exp.Expr:
        if dimension.sub_query:
            return self._sub_query(dimension)
        if dimension.case:
            return self._case(dimension.case)
        if dimension.latitude and dimension.longitude:
            parts = [exp.func("toString", self.sql(each)) for each in (dimension.latitude, dimension.longitude)]
            return exp.func("concat", parts[0], exp.Literal.string(","), parts[1], dialect="clickhouse")
        return self.sql(dimension.sql) if dimension.sql else exp.null()

    def _sub_query(self, dimension: Dimension) -> exp.Expr:
        if dimension.sql is None or not any(each.kind == "member" for each in dimension.sql.references):
            self.unsupported = "sub-query dimensions without a measure"
        inner = Expansion(self.expander, self.cube)
        tree = inner.sql(dimension.sql) if dimension.sql else exp.null()
        self.unsupported = self.unsupported or inner.unsupported
        self.expander.done[f"{dimension.full_name}#value"] = Expanded(
            tree, inner.ways(), measures=tuple(inner.measures), sub_queries=tuple(inner.sub_queries)
        )
        self.sub_queries[dimension.full_name] = None
        return exp.Column(this=identifier("value"), table=identifier(sub_query_alias(dimension.full_name)))

    def _case(self, case: Case) -> exp.Expr:
        result = exp.Case()
        for when, label in case.when:
            result = result.when(self.sql(when), self._label(label), copy=False)
        return result.else_(self._label(case.otherwise), copy=False) if case.otherwise is not None else result

    def _label(self, label: str | Sql) -> exp.Expr:
        return self.sql(label) if isinstance(label, Sql) else exp.Literal.string(label)

    def sql(self, sql: Sql) -> exp.Expr:
        """The text's tree with every reference replaced."""
        root = exp.Paren(this=sql.tree.copy())
        for column in list(root.find_all(exp.Column)):
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
        for star in list(root.find_all(exp.Table)):
            number = marked(star.name)
            if number is not None:
                self.unsupported = self.unsupported or "tables of other cubes inside a member's sql"
        tree: exp.Expr = root.this
        tree.pop()
        return tree

    def table(self, sql: Sql) -> exp.Expr:
        """The SELECT of a cube; other cubes' tables within become `__scan__cube`, `SELECT * FROM t` becomes t."""
        tree = sql.tree.copy()
        for table in list(tree.find_all(exp.Table)):
            number = marked(table.name)
            if number is not None and sql.references[number].kind in ("sql", "cube", "member"):
                name = (sql.references[number].path or (sql.references[number].member,))[0]
                other = self._known(name or "", sql.source)
                table.set("this", exp.to_identifier(SCAN + other.name))
        root = exp.Paren(this=tree)
        for column in list(root.find_all(exp.Column)):
            number = marked(column.table) if column.table else marked(column.name)
            if number is not None:
                column.replace(self._in_table(sql.references[number], sql.source))
        tree = root.this
        tree.pop()
        return plain_table(tree)

    def _in_table(self, reference: Reference, source: Source) -> exp.Expr:
        if reference.kind in ("filter_params", "security_context"):
            return self._asked(reference, source)
        self.unsupported = self.unsupported or "member references in a cube's sql"
        return exp.true()

    def _asked(self, reference: Reference, source: Source) -> exp.Expr:
        """A condition that depends on the query or on the caller."""
        argument = (reference.argument or "").strip()
        text = argument[1:-1] if argument[:1] in ("'", '"') else argument
        inner = parse_fragment(text, source) if text and "lambda" not in text and "FILTER_" not in text else None
        if reference.kind == "security_context":
            name = exp.Literal.string(".".join(reference.path))
            how = exp.Literal.string(reference.member or "unsafeValue")
            return exp.Anonymous(this=CONTEXT, expressions=[name, how, *([inner] if inner is not None else [])])
        if inner is None or not reference.path:
            self.unsupported = self.unsupported or "FILTER_PARAMS with a callback or in a FILTER_GROUP"
            return exp.true()
        name = exp.Literal.string(f"{reference.path[0]}.{reference.member}")
        return exp.Anonymous(this=FILTERED, expressions=[name, inner])

    def _replacement(self, reference: Reference, source: Source) -> exp.Expr:
        if reference.kind == "utils" and reference.member == "convertTz" and reference.argument:
            column = exp.column(reference.argument.strip("'\""), table=identifier(self.cube.alias))
            return exp.Anonymous(this=LOCAL, expressions=[column])
        if reference.kind in ("filter_params", "security_context"):
            return self._asked(reference, source)
        if reference.kind in ("utils", "sql"):
            self.unsupported = self.unsupported or f"{reference.kind.upper()} in a member's sql"
            return exp.true()
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
        if rest[1] not in PREDEFINED and rest[1] not in dimension.granularities:
            raise ModelError(f"{source}: sql: '{dimension.full_name}' has no granularity '{rest[1]}'.")
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


def _has_window(tree: exp.Expr | None, sql: Sql | None) -> bool:
    """Whether rows are compared with each other: no condition and no group can be made of that."""
    return tree is not None and sql is not None and "over" in sql.text.lower() and tree.find(exp.Window) is not None


def _is_bucket(cube: Cube, rest: list[str]) -> bool:
    """Whether `a.b` is a time dimension and one of its granularities."""
    dimension = cube.dimensions.get(rest[0])
    return (
        dimension is not None
        and dimension.type == "time"
        and (rest[1] in PREDEFINED or rest[1] in dimension.granularities)
    )
