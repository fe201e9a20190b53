"""FROM and JOIN: cubes as tables or SELECTs, each protected one behind its row filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import AccessDenied
from engine.model.markers import CONTEXT, FILTERED, LOCAL, SCAN, TRUNCATED, identifier, sub_query_alias
from engine.plan.nodes import Edge, SubQuery, Tree
from engine.query.bound import BoundFilter, BoundSegment, name_of
from engine.sql.clauses import aliased, all_of, column, from_, named
from engine.sql.filters import Predicates
from engine.sql.time import bucket, call, number, text, wall

if TYPE_CHECKING:
    from engine.sql.render import Renderer


class Sources:
    """Builds the FROM clauses of one renderer."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.catalog = renderer.catalog

    def joined(self, tree: Tree) -> exp.Select:
        """`FROM root LEFT JOIN …`, sub-queries right after their cube."""
        select = exp.Select()
        select.set("from_", exp.From(this=self.scan(tree.root)))
        select.set("joins", [*self._sub_queries(tree, tree.root), *self._edges(tree)])
        return select

    def joined_to_keys(self, keys: exp.Select, tree: Tree, primary: Sequence[exp.Expr]) -> exp.Select:
        """`FROM (keys) AS keys LEFT JOIN fact ON …` and the fact's own joins."""
        select = from_(keys, "keys")
        matches = [exp.EQ(this=column(f"k{index}", "keys"), expression=key) for index, key in enumerate(primary)]
        first = exp.Join(this=self.scan(tree.root), side="LEFT", on=all_of(matches))
        select.set("joins", [first, *self._sub_queries(tree, tree.root), *self._edges(tree)])
        return select

    def scan(self, cube: str) -> exp.Expr:
        """The cube under its alias; with a row filter, a SELECT of the rows which the caller may read."""
        alias = self.catalog.cubes[cube].alias
        rows = self.renderer.plan.query.rows.of(cube)
        if rows is None:
            return self._table(cube, alias)
        predicates = Predicates(self.renderer.parameters, self.renderer.zone, self._own_value)
        predicate = predicates.tree(rows)
        self.renderer.guards.setdefault(cube, []).append(predicate)
        select = exp.Select(expressions=[exp.Star()])
        select.set("from_", exp.From(this=self._table(cube, alias)))
        select.set("where", exp.Where(this=predicate))
        return aliased(select, alias)

    def _own_value(self, node: BoundFilter | BoundSegment) -> exp.Expr:
        return self.timed(self.catalog.tree(name_of(node)))

    def _table(self, cube: str, alias: str | None) -> exp.Expr:
        source = self.timed(self.catalog.tree(f"{cube}#table"))
        for nested in list(source.find_all(exp.Table)):
            if nested.name.startswith(SCAN):
                source = self._nested(source, nested)
        if alias is not None:
            source.set("alias", exp.TableAlias(this=identifier(alias)))
        if self.catalog.cubes[cube].final and isinstance(source, exp.Table):
            return exp.Final(this=source)
        return source

    def _nested(self, source: exp.Expr, nested: exp.Table) -> exp.Expr:
        """Another cube's table inside this cube's SELECT; that cube's row filter goes with it."""
        inner = self.scan(nested.name.removeprefix(SCAN))
        if isinstance(inner, exp.Final):
            inner = aliased(exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner)), "inner")
        inner.set("alias", nested.args.get("alias") or exp.TableAlias(this=identifier(nested.name.removeprefix(SCAN))))
        if nested is source:
            return inner
        nested.replace(inner)
        return source

    def _edges(self, tree: Tree) -> list[exp.Join]:
        return [join for edge in tree.edges for join in (self._join(edge), *self._sub_queries(tree, edge.child))]

    def _join(self, edge: Edge) -> exp.Join:
        condition = self.catalog.tree(f"{edge.parent}>{edge.child}")
        source, on = self.scan(edge.child), self.timed(condition)
        return (
            exp.Join(this=source, kind="INNER", on=on) if edge.restrict else exp.Join(this=source, side="LEFT", on=on)
        )

    def _sub_queries(self, tree: Tree, cube: str) -> list[exp.Join]:
        return [self._sub_query(sub) for sub in tree.sub_queries if sub.cube == cube]

    def _sub_query(self, sub: SubQuery) -> exp.Join:
        alias = sub_query_alias(sub.dimension)
        if sub.plan is None:
            return self._switch(sub, alias)
        outer = self.renderer
        inner = type(outer)(sub.plan, outer.parameters, outer.guards, outer.checks)
        relation = inner.relation(["value"])
        for index, output in enumerate(relation.expressions):
            output.set("alias", exp.to_identifier(f"k{index}" if index < len(sub.keys) else "value"))
        match = exp.EQ if sub.exact else exp.NullSafeEQ
        matches: list[exp.Expr] = []
        for index, key in enumerate(sub.keys):
            matches.append(match(this=column(f"k{index}", alias), expression=outer.member(key)))
        return exp.Join(this=aliased(relation, alias), side="LEFT", on=all_of(matches))

    def _switch(self, sub: SubQuery, alias: str) -> exp.Join:
        """Each row once for each value of a switch."""
        values = exp.Array(expressions=[text(value) for value in sub.values])
        select = exp.Select(expressions=[named(call("arrayJoin", values), "value")])
        return exp.Join(this=aliased(select, alias), kind="CROSS")

    def timed(self, tree: exp.Expr) -> exp.Expr:
        """The member's SQL with what depends on the question filled in: its zone, its filters, its asker."""
        if not any(isinstance(node, exp.Anonymous) and node.name in _FILLED for node in tree.walk()):
            return tree
        root = exp.Paren(this=tree)
        for node in list(root.find_all(exp.Anonymous)):
            fill = _FILLED.get(node.name)
            if fill is not None:
                node.replace(fill(self, node.expressions))
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def local(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """Wall time."""
        return wall(arguments[0], self.renderer.zone)

    def truncated(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """The bucket of a time dimension."""
        return self._truncated(arguments[0], arguments[1].name)

    def filtered(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """The query's conditions on a member, on another expression; true if there are none."""
        inner, name = arguments[1], arguments[0].name
        predicates = Predicates(self.renderer.parameters, self.renderer.zone, lambda _: inner.copy())
        current = self.renderer.current
        where = current.where if current is not None else self.renderer.plan.query.where
        found = [
            predicates.tree(each) for each in where if isinstance(each, BoundFilter) and each.member.full_name == name
        ]
        return exp.Paren(this=all_of(found)) if found else exp.EQ(this=number(1), expression=number(1))

    def context(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """A comparison with an attribute of the caller; who lacks it sees nothing."""
        name, how = arguments[0].name, arguments[1].name
        slot = self.renderer.plan.query.attributes.get(name)
        if slot is None:
            if how != "filter":
                raise AccessDenied(f"You have no '{name}', which the model needs to know.")
            return exp.Boolean(this=False)
        value = self.renderer.parameters.text(slot)
        if len(arguments) < 3:
            return value
        inner = exp.Paren(this=arguments[2].copy())
        listed = slot.kind.startswith("list:")
        return exp.In(this=inner, field=value) if listed else exp.EQ(this=inner, expression=value)

    def _truncated(self, tree: exp.Expr, name: str) -> exp.Expr:
        cube, dimension, granularity = name.split(".")
        custom = self.catalog.cubes[cube].dimensions[dimension].granularities.get(granularity)
        return bucket(tree, self.renderer.zone, granularity, custom)[0]


_FILLED = {LOCAL: Sources.local, TRUNCATED: Sources.truncated, FILTERED: Sources.filtered, CONTEXT: Sources.context}
