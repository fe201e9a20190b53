"""FROM and JOIN: cubes as tables or SELECTs, each protected one behind its row filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import fresh
from engine.model.columns import type_of
from engine.model.kept import Kept
from engine.model.markers import (
    CONTEXT,
    FILTERED,
    LOCAL,
    MASKED,
    SCAN,
    SHOWN,
    TRUNCATED,
    identifier,
    sub_query_alias,
    to_fill,
    unmasked,
)
from engine.plan.nodes import Edge, SubQuery, Tree
from engine.query.bound import BoundFilter, BoundSegment, BoundTree, name_of
from engine.sql.asked import context, filtered
from engine.sql.clauses import aliased, all_of, column, from_, named
from engine.sql.filters import Predicates
from engine.sql.guards import guarded
from engine.sql.masks import masked, shown
from engine.sql.time import bucket, call, text, wall

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_closed: Kept[tuple[str, bool], bool] = Kept(100_000)
"""Which SQL of a catalog is the same for every question, looked up once."""
_UNMOVED: Mapping[str, str] = {}


class Sources:
    """Builds the FROM clauses of one renderer."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.catalog = renderer.catalog

    def joined(self, tree: Tree) -> exp.Select:
        """`FROM root LEFT JOIN …`, sub-queries right after their cube."""
        select = exp.Select()
        root, *more = self._calendar(tree.root)
        select.set("from_", exp.From(this=root))
        joins = [exp.Join(this=scan, kind="INNER", on=self._shown(tree.root)) for scan in more]
        select.set("joins", [*joins, *self._sub_queries(tree, tree.root), *self._edges(tree)])
        return select

    def _calendar(self, cube: str) -> list[exp.Expr]:
        """The cube; a calendar by which the part shifts stands twice: where the rows lie, and where they are shown."""
        if cube not in self._moved():
            return [self.scan(cube)]
        lying, shown = self.scan(cube), self.scan(cube)
        (lying.this if isinstance(lying, exp.Final) else lying).set("alias", exp.TableAlias(this=self._lying(cube)))
        return [lying, shown]

    def _lying(self, cube: str) -> exp.Identifier:
        return identifier(f"{self.catalog.cubes[cube].alias}__lying")

    def _moved(self) -> Mapping[str, str]:
        """The calendars by which the part at work shifts: the SQL of the shift, and the dimension that it moves."""
        current = self.renderer.current
        shifts = current.scope.shifts if current is not None else ()
        if not shifts:
            return _UNMOVED
        return {
            name.partition(".")[0]: f"{name}#shift{shift.calendar}"
            for name, shift in shifts
            if shift.calendar is not None
        }

    def shifts_calendar(self) -> bool:
        """Whether the part at work shifts by a calendar's own SQL, so that the calendar stands twice."""
        return bool(self._moved())

    def _shown(self, cube: str) -> exp.Expr:
        """A row is shown on each day of the calendar to which the shift's SQL assigns the day where it lies."""
        name = self._moved()[cube]
        lies = self.at_lying(self.own(name.partition("#")[0]))
        return exp.EQ(this=self.own(name), expression=lies)

    def at_lying(self, tree: exp.Expr) -> exp.Expr:
        """Columns of moved calendars read where the rows lie."""
        calendars = self._moved()
        moved = {self.catalog.cubes[cube].alias: self._lying(cube) for cube in calendars} if calendars else {}
        for each in list(tree.find_all(exp.Column)) if moved else ():
            if each.table in moved:
                each.set("table", moved[each.table].copy())
        return tree

    def joined_to_keys(self, keys: exp.Select, tree: Tree, primary: Sequence[exp.Expr]) -> exp.Select:
        """`FROM (keys) AS keys LEFT JOIN fact ON …` and the fact's own joins."""
        select = from_(keys, "keys")
        matches = [exp.EQ(this=column(f"k{index}", "keys"), expression=key) for index, key in enumerate(primary)]
        first = exp.Join(this=self.scan(tree.root), side="LEFT", on=all_of(matches))
        select.set("joins", [first, *self._sub_queries(tree, tree.root), *self._edges(tree)])
        return select

    def scan(self, cube: str) -> exp.Expr:
        """The cube under its alias; with a row filter, a SELECT of the rows which the caller may read."""
        rows = self.renderer.plan.query.rows.of(cube)
        if rows is None:
            return self.table(cube)
        return aliased(guarded(self.renderer, cube, rows), self.catalog.cubes[cube].alias)

    def predicate(self, rows: BoundTree) -> exp.Expr:
        """A row filter as a tree."""
        kinds = partial(type_of, self.catalog)
        return Predicates(self.renderer.parameters, self.renderer.zone, self.own_value, kinds=kinds).tree(rows)

    def own_value(self, node: BoundFilter | BoundSegment) -> exp.Expr:
        """What a row filter looks at: the value itself, whatever the caller is shown."""
        return self.own(name_of(node))

    def own(self, name: str) -> exp.Expr:
        """The SQL of a member (a join, a shift) over the aliases of cubes, nothing in it masked."""
        return self.timed(unmasked(self.catalog.tree(name))) if self.catalog.maskable else self.spelled(name)

    def table(self, cube: str) -> exp.Expr:
        """All rows of the cube under its alias."""
        source = self.spelled(f"{cube}#table")
        source.set("alias", exp.TableAlias(this=identifier(self.catalog.cubes[cube].alias)))
        if self.catalog.cubes[cube].final and isinstance(source, exp.Table):
            return exp.Final(this=source)
        return source

    def _nested(self, nested: exp.Table) -> None:
        """Another cube's table inside a SELECT; that cube's row filter goes with it."""
        cube = nested.name.removeprefix(SCAN)
        problem = self.catalog.expanded[f"{cube}#table"].unsupported
        if problem:
            raise Unanswerable(f"The cube '{cube}' needs {problem}; that cannot be answered yet.")
        inner = self.scan(cube)
        whole = self.renderer.plan.query.rows.of(cube) is None
        if isinstance(inner, exp.Final) or (whole and self.catalog.cubes[cube].policies):
            # It stays under its own alias inside, by which the verifier knows it.
            inner = aliased(exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner)), "inner")
        inner.set("alias", nested.args.get("alias") or exp.TableAlias(this=identifier(cube)))
        if nested.args.get("joins"):
            inner.set("joins", nested.args["joins"])
        nested.replace(inner)

    def _edges(self, tree: Tree) -> list[exp.Join]:
        return [join for edge in tree.edges for join in (*self._join(edge), *self._sub_queries(tree, edge.child))]

    def _join(self, edge: Edge) -> list[exp.Join]:
        source, *more = self._calendar(edge.child)
        on = self.at_lying(self.own(f"{edge.parent}>{edge.child}"))
        kept = {"kind": "INNER"} if edge.restrict else {"side": "LEFT"}
        shown = [exp.Join(this=scan, kind="INNER", on=self._shown(edge.child)) for scan in more]
        return [exp.Join(this=source, on=on, **kept), *shown]

    def _sub_queries(self, tree: Tree, cube: str) -> list[exp.Join]:
        return [self._sub_query(sub) for sub in tree.sub_queries if sub.cube == cube]

    def _sub_query(self, sub: SubQuery) -> exp.Join:
        alias = sub_query_alias(sub.dimension)
        if sub.plan is None:
            return self._switch(sub, alias)
        outer = self.renderer
        inner = type(outer)(sub.plan, outer.parameters, outer.checks)
        relation = inner.relation(["value"])
        for index, output in enumerate(relation.expressions):
            output.set("alias", exp.to_identifier(f"k{index}" if index < len(sub.keys) else "value"))
        match = exp.EQ if sub.exact else exp.NullSafeEQ
        matches: list[exp.Expr] = []
        for index, key in enumerate(sub.keys):
            matches.append(match(this=column(f"k{index}", alias), expression=self.own(key)))
        return exp.Join(this=aliased(relation, alias), side="LEFT", on=all_of(matches))

    def _switch(self, sub: SubQuery, alias: str) -> exp.Join:
        """Each row once for each value of a switch."""
        values = exp.Array(expressions=[text(value) for value in sub.values])
        select = exp.Select(expressions=[named(call("arrayJoin", values), "value")])
        return exp.Join(this=aliased(select, alias), kind="CROSS")

    def spelled(self, name: str, *, condition: bool = False) -> exp.Expr:
        """A copy of the SQL that the catalog has under the name, or of its condition, filled in."""
        expanded = self.catalog.expanded[name]
        given = expanded.condition if condition else expanded.tree
        tree = fresh(given) if given is not None else exp.Null()
        if type(tree) is exp.Column:
            return tree
        closed = _closed.get(self.catalog, (name, condition), lambda: not any(map(to_fill, tree.walk())))
        return tree if closed else self.timed(tree)

    def timed(self, tree: exp.Expr) -> exp.Expr:
        """The member's SQL with what depends on the question filled in: its zone, its filters, its asker, tables."""
        if type(tree) is exp.Column or not any(to_fill(node) for node in tree.walk()):
            return tree
        root = exp.Paren(this=tree)
        for node in reversed([node for node in root.walk() if to_fill(node)]):  # from the inside out
            if isinstance(node, exp.Table):
                self._nested(node)
            else:
                node.replace(_FILLED[node.name](self, node.expressions))
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def local(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """Wall time."""
        return wall(arguments[0], self.renderer.zone, type_of(self.catalog, arguments[0]))

    def truncated(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """The bucket of a time dimension."""
        return self._truncated(arguments[0], arguments[1].name)

    def filtered(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """What the query's filters say on other expressions."""
        return filtered(self.renderer, arguments)

    def context(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """What the caller is."""
        return context(self.renderer, arguments)

    def masked(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """A dimension as the caller sees it."""
        return masked(self.renderer, arguments[0].name, arguments[1])

    def shown(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """Whether a row shows the own value of a masked member."""
        return shown(self.renderer, arguments[0].name)

    def _truncated(self, tree: exp.Expr, name: str) -> exp.Expr:
        cube, dimension, granularity = name.split(".")
        custom = self.catalog.cubes[cube].dimensions[dimension].granularities.get(granularity)
        return bucket(tree, self.renderer.zone, granularity, custom, type_of(self.catalog, tree))[0]


_FILLED = {
    LOCAL: Sources.local,
    TRUNCATED: Sources.truncated,
    FILTERED: Sources.filtered,
    CONTEXT: Sources.context,
    MASKED: Sources.masked,
    SHOWN: Sources.shown,
}
