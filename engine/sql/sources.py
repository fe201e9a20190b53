"""FROM and JOIN: cubes as tables or SELECTs, each protected one behind its row filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.markers import CONTEXT, FILTERED, LOCAL, SCAN, TRUNCATED, identifier, sub_query_alias
from engine.plan.nodes import Edge, SubQuery, Tree
from engine.query.bound import BoundFilter, BoundSegment, name_of
from engine.sql.asked import context, filtered
from engine.sql.filters import Predicates
from engine.sql.time import bucket, wall

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

    def of_keys(self, keys: exp.Select) -> exp.Select:
        """`FROM (keys) AS keys`."""
        select = exp.Select()
        select.set("from_", exp.From(this=_aliased(keys, "keys")))
        return select

    def joined_to_keys(self, keys: exp.Select, tree: Tree, primary: Sequence[exp.Expr]) -> exp.Select:
        """`FROM (keys) AS keys LEFT JOIN fact ON …` and the fact's own joins."""
        select = self.of_keys(keys)
        matches = [exp.EQ(this=column(f"k{index}", "keys"), expression=key) for index, key in enumerate(primary)]
        first = exp.Join(this=self.scan(tree.root), side="LEFT", on=_and(matches))
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
        return _aliased(select, alias)

    def _own_value(self, node: BoundFilter | BoundSegment) -> exp.Expr:
        return self.timed(self.catalog.tree(name_of(node)))

    def _table(self, cube: str, alias: str | None) -> exp.Expr:
        source = self.timed(self.catalog.tree(f"{cube}#table"))
        if alias is not None:
            source.set("alias", exp.TableAlias(this=identifier(alias)))
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
        if isinstance(inner, exp.Final):
            inner = _aliased(exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner)), "inner")
        inner.set("alias", nested.args.get("alias") or exp.TableAlias(this=identifier(cube)))
        if nested.args.get("joins"):
            inner.set("joins", nested.args["joins"])
        nested.replace(inner)

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
        renderer = type(self.renderer)(sub.plan, self.renderer.parameters, self.renderer.guards)
        alias = sub_query_alias(sub.dimension)
        matches: list[exp.Expr] = []
        for index, key in enumerate(sub.keys):
            own = self.catalog.tree(f"{sub.cube}.{key}")
            matches.append(exp.EQ(this=column(f"k{index}", alias), expression=own))
        return exp.Join(this=_aliased(renderer.keyed_values("value"), alias), side="LEFT", on=_and(matches))

    def timed(self, tree: exp.Expr) -> exp.Expr:
        """The member's SQL with what depends on the question filled in: its zone, its filters, its asker, tables."""
        if not any(_to_fill(node) for node in tree.walk()):
            return tree
        root = exp.Paren(this=tree)
        for node in reversed([node for node in root.walk() if _to_fill(node)]):  # from the inside out
            if isinstance(node, exp.Table):
                self._nested(node)
            else:
                node.replace(_FILLED[node.name](self, node.expressions))
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
        """What the query's filters say on other expressions."""
        return filtered(self.renderer, arguments)

    def context(self, arguments: Sequence[exp.Expr]) -> exp.Expr:
        """What the caller is."""
        return context(self.renderer, arguments)

    def _truncated(self, tree: exp.Expr, name: str) -> exp.Expr:
        cube, dimension, granularity = name.split(".")
        custom = self.catalog.cubes[cube].dimensions[dimension].granularities.get(granularity)
        return bucket(tree, self.renderer.zone, granularity, custom)[0]


def _to_fill(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name in _FILLED
    return isinstance(node, exp.Table) and node.name.startswith(SCAN)


_FILLED = {LOCAL: Sources.local, TRUNCATED: Sources.truncated, FILTERED: Sources.filtered, CONTEXT: Sources.context}


def column(name: str, table: str) -> exp.Column:
    """`table.name`."""
    return exp.Column(this=identifier(name), table=identifier(table))


def named(value: exp.Expr, alias: str) -> exp.Alias:
    """`value AS alias`."""
    return exp.Alias(this=value, alias=exp.to_identifier(alias))


def _aliased(select: exp.Expr, alias: str) -> exp.Subquery:
    return exp.Subquery(this=select, alias=exp.TableAlias(this=identifier(alias)))


def _and(conditions: Sequence[exp.Expr]) -> exp.Expr:
    result = conditions[0]
    for each in conditions[1:]:
        result = exp.And(this=result, expression=each)
    return result
