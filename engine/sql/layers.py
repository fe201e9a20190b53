"""Groups looked at together: values of coarser grains joined to them, windows over them, one layer upon the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.plan.nodes import Fixed
from engine.sql.clauses import Body, aliased, all_of, column, filled, from_, grouped, known, named

if TYPE_CHECKING:
    from engine.sql.render import Renderer


class Layers:
    """Builds the layers of one plan above its groups."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.plan = renderer.plan

    def over(self, body: Body) -> Body:
        """The groups with everything that is computed over them, as columns."""
        rows = self._made(body)
        if self.plan.fixed:
            rows = self._joined(rows)
        pending = dict(self.plan.windows)
        while pending:
            ready = {name: tree for name, tree in pending.items() if not _names(tree) & set(pending)}
            rows = self._layer(rows, ready)
            pending = {name: tree for name, tree in pending.items() if name not in ready}
        return rows

    def _made(self, body: Body) -> Body:
        """The groups as rows of a sub-select."""
        names = list(body.values)
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(body.natives)]
        outputs += [named(body.values[name], f"m{index}") for index, name in enumerate(names)]
        if not outputs:
            outputs = [named(exp.Literal.number(1), "one")]
        select = grouped(outputs, body.source, body.natives)
        natives: list[exp.Expr] = [column(f"d{index}", "made") for index in range(len(body.natives))]
        values: dict[str, exp.Expr] = {name: column(f"m{index}", "made") for index, name in enumerate(names)}
        return Body(natives, values, from_(select, "made"))

    def _joined(self, rows: Body) -> Body:
        """Each value of a coarser grain beside the groups that agree with it."""
        joins = []
        for number, fixed in enumerate(self.plan.fixed):
            alias = f"fixed{number}"
            joins.append(self._join(rows, fixed, alias))
            rows.values |= {name: column(f"v{index}", alias) for index, name in enumerate(fixed.names)}
        rows.source.set("joins", joins)
        return rows

    def _join(self, rows: Body, fixed: Fixed, alias: str) -> exp.Join:
        outer = self.renderer
        inner = type(outer)(fixed.plan, outer.parameters, outer.checks)
        relation = aliased(inner.relation(fixed.names), alias)
        matches: list[exp.Expr] = [
            exp.NullSafeEQ(this=rows.natives[place].copy(), expression=column(f"d{index}", alias))
            for index, place in enumerate(fixed.on)
        ]
        same = all_of(matches) if matches else exp.EQ(this=exp.Literal.number(1), expression=exp.Literal.number(1))
        return exp.Join(this=relation, side="LEFT", on=same)

    def _layer(self, rows: Body, windows: Mapping[str, exp.Expr]) -> Body:
        """One more layer, with windows over the one beneath."""
        places = {f"@{index}": native for index, native in enumerate(rows.natives)}
        values: dict[str, exp.Expr] = {**rows.values, **places}
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(rows.natives)]
        outputs += [named(value.copy(), f"m{index}") for index, value in enumerate(rows.values.values())]
        outputs += [named(self._filled(tree, values), f"w{index}") for index, tree in enumerate(windows.values())]
        select = grouped(outputs, rows.source, ())
        values = {name: column(f"m{index}", "layer") for index, name in enumerate(rows.values)}
        values |= {name: column(f"w{index}", "layer") for index, name in enumerate(windows)}
        natives: list[exp.Expr] = [column(f"d{index}", "layer") for index in range(len(rows.natives))]
        return Body(natives, values, from_(select, "layer"))

    def _filled(self, tree: exp.Expr, values: Mapping[str, exp.Expr]) -> exp.Expr:
        """The window; what it aggregates or sorts by is NULL in groups where it has no rows."""
        tree, leaves = tree.copy(), self.renderer.parts.names()
        if isinstance(tree, exp.Window):
            order = tree.args.get("order")
            for each in list(tree.this.expressions) if isinstance(tree.this, exp.Anonymous) else ():
                each.replace(known(each, values, leaves))
            for each in order.expressions if order is not None else ():
                each.set("this", known(each.this, values, leaves))
        return filled(tree, values)


def _names(tree: exp.Expr) -> set[str]:
    return {node.name for node in tree.find_all(exp.Placeholder)}
