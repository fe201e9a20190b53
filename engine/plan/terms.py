"""Measures taken apart, for one grain: aggregates of rows (leaves), inner plans of their stages, windows over groups,
and the formulas over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import Dimension, Measure
from engine.model.markers import FORMULAS, SHOWN
from engine.plan.expressions import (
    aggregated,
    is_aggregated,
    of_one_type,
    outermost_aggregates,
    placeholder,
    placeholders,
)
from engine.plan.grain import find_dimension
from engine.plan.nodes import Leaf, Plan, Scope
from engine.plan.scopes import rolled
from engine.plan.stages import Stages
from engine.plan.switches import fixed_value
from engine.query.access import NOTHING
from engine.query.bound import BoundQuery, Path

Assemble = Callable[["Terms"], Plan]
Alone = Callable[[Leaf], bool]


class Terms:
    """Collects what the measures of one question need at the grain of its dimensions; each thing once.

    `assemble` makes the plan of an inner question, `alone` tells whether each row that a leaf counts is in one group.
    """

    def __init__(self, bound: BoundQuery, assemble: Assemble, alone: Alone) -> None:
        self.bound = bound
        self.catalog = bound.catalog
        self.base = Scope(bound.where)
        self.leaves: dict[str, Leaf] = {}
        self.formulas: dict[str, exp.Expr] = {}
        self.windows: dict[str, exp.Expr] = {}
        self.assemble, self.alone = assemble, alone
        self.stages = Stages(self)
        self._done: dict[tuple[str, Scope], tuple[Path, exp.Expr]] = {}
        self._suffixes: dict[Scope, str] = {self.base: "~0"}

    def lift_windows(self) -> None:
        """Formulas that look at other groups by their own SQL are computed before conditions hide any of those."""
        for name, tree in self.formulas.items():
            leaves = (self.leaves.get(node.name) for node in tree.find_all(exp.Placeholder))
            raw = [leaf.tree for leaf in leaves if leaf is not None and leaf.raw and leaf.tree is not None]
            if any(each.find(exp.Window) for each in (tree, *raw)):
                self.windows[f"{name}!over"] = tree
                self.formulas[name] = placeholder(f"{name}!over")

    def add(self, measure: Measure, path: Path, scope: Scope | None = None) -> exp.Expr:
        """The measure as an expression over placeholders."""
        scope = scope or self.base
        key = (measure.full_name, scope)
        if key not in self._done:
            self._done[key] = path, self._value(measure, path, scope)
            if scope == self.base:
                self.formulas[measure.full_name] = self._done[key][1]
        known, value = self._done[key]
        if known != path:
            name = measure.full_name
            raise Unanswerable(f"'{name}' is asked for by two join paths at once.", member=name)
        return value

    def value(self, name: str, tree: exp.Expr, path: Path, scope: Scope | None = None) -> exp.Expr:
        """Any expression over measures, under a name of its own."""
        self.formulas[name] = self.replaced(tree, path, scope or self.base)
        return self.formulas[name]

    def _value(self, measure: Measure, path: Path, scope: Scope) -> exp.Expr:
        name, spelled = measure.full_name, self.catalog.expanded[measure.full_name]
        if spelled.unsupported:
            raise Unanswerable(f"'{name}' needs {spelled.unsupported}; that cannot be answered.", member=name)
        if name in self.bound.masks:
            return self._masked(measure, path, scope)
        return self._own_value(measure, path, scope)

    def _masked(self, measure: Measure, path: Path, scope: Scope) -> exp.Expr:
        """The measure where every row that it counts may be seen with its own value, else its mask.

        Windows and stages read rows beyond their group: they are masked wherever not every row may be seen.
        """
        name = measure.full_name
        never = self.bound.masks[name] == NOTHING or bool(measure.stage or measure.window or measure.snapshot)
        tree: exp.Expr = exp.Literal.number(1)
        if not never:
            marker = exp.Anonymous(this=SHOWN, expressions=[exp.Literal.string(name)])
            tree = exp.Case(ifs=[exp.If(this=marker, true=tree)], default=exp.Literal.number(0))
        condition = self.catalog.expanded[name].condition
        least = replace(measure, type="min", filters=())
        seen = self.leaf(Leaf(f"{name}#shown", least, path, tree, condition, False, scope))
        mask = self._mask(measure, path, scope)
        if never:
            return exp.Paren(this=exp.Case(ifs=[exp.If(this=_is_null(seen), true=mask)], default=mask.copy()))
        hidden = exp.EQ(this=seen, expression=exp.Literal.number(0))
        value = self._own_value(measure, path, scope)
        return exp.Paren(this=exp.Case(ifs=[exp.If(this=hidden, true=mask)], default=value))

    def _mask(self, measure: Measure, path: Path, scope: Scope) -> exp.Expr:
        mask = measure.mask
        if mask is not None and mask.sql is not None:
            return self._formula(measure, path, self.catalog.tree(f"{measure.full_name}#mask"), scope, "#mask")
        if mask is None or mask.value is None:
            return exp.null()
        if isinstance(mask.value, bool):
            return exp.Boolean(this=mask.value)
        return exp.Literal.string(mask.value) if isinstance(mask.value, str) else exp.Literal.number(mask.value)

    def _own_value(self, measure: Measure, path: Path, scope: Scope) -> exp.Expr:
        name, spelled = measure.full_name, self.catalog.expanded[measure.full_name]
        if measure.stage is not None:
            return self.stages.value(measure, measure.stage, spelled, path, scope)
        if measure.window is not None:
            if measure.type in FORMULAS:
                raise Unanswerable(f"'{name}' is a formula; let its parts roll instead.", member=name)
            scope = rolled(self.bound, scope, measure.window)
        if measure.snapshot is not None and not self.bound.ungrouped:
            scope = replace(scope, snapshot=measure.snapshot)
        formula = measure.type in FORMULAS
        if formula and spelled.condition is not None:
            raise Unanswerable(f"'{name}' is a formula; let its parts have the filters.", member=name)
        if formula and spelled.tree is not None and (spelled.measures or measure.case is not None):
            tree = of_one_type(spelled.tree) if measure.case is not None and measure.type == "number" else spelled.tree
            return self._formula(measure, path, tree, scope)
        return self.leaf(Leaf(name, measure, path, spelled.tree, spelled.condition, formula, scope))

    def suffix(self, scope: Scope) -> str:
        """What tells the leaves of a scope from those of others."""
        return self._suffixes.setdefault(scope, f"~{len(self._suffixes)}")

    def leaf(self, leaf: Leaf) -> exp.Expr:
        """A leaf, each once."""
        name = leaf.name + self.suffix(leaf.scope)
        known = self.leaves.get(name)
        if known is None:
            known = self.leaves[name] = replace(leaf, name=name)
        if known.path != leaf.path:
            raise Unanswerable(f"'{leaf.name}' is asked for by two join paths at once.")
        return placeholder(name)

    def _formula(self, measure: Measure, path: Path, tree: exp.Expr, scope: Scope, suffix: str = "") -> exp.Expr:
        """A formula over measures; aggregates written into it become leaves too."""
        root = exp.Paren(this=tree.copy())
        for index, node in enumerate(list(outermost_aggregates(root))):
            if placeholders(node):
                raise aggregated(measure.full_name)
            leaf = Leaf(f"{measure.full_name}{suffix}#{index}", measure, path, node.copy(), None, True, scope)
            node.replace(self.leaf(leaf))
        return self.replaced(root, path, scope, measure.full_name)

    def replaced(self, tree: exp.Expr, path: Path, scope: Scope, name: str = "") -> exp.Expr:
        """The tree with each measure in it replaced by its own expression, each dimension by its place."""
        root = exp.Paren(this=tree.copy())
        for node in list(root.find_all(exp.Placeholder)):
            if "~" in node.name:
                continue  # a leaf already
            inner = self.catalog.primitive(node.name)
            if isinstance(inner, Measure) and is_aggregated(node):
                raise aggregated(name or node.name)
            if isinstance(inner, Dimension):
                node.replace(self._dimension(inner, name, scope))
            elif isinstance(inner, Measure):
                way = path if path and path[-1] == inner.cube else (inner.cube,)
                formula = self.add(inner, way, scope)
                node.replace(formula.copy() if isinstance(formula, exp.Placeholder) else exp.Paren(this=formula.copy()))
        stray = next(root.find_all(exp.Column), None)
        if stray is not None:
            what = f"'{name}' uses" if name else "The formula uses"
            raise Unanswerable(f"{what} {stray.sql('clickhouse')} outside of an aggregate.", member=name or None)
        result = root.this
        while isinstance(result, exp.Paren) and isinstance(result.this, exp.Paren | exp.Placeholder):
            result = result.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def _dimension(self, dimension: Dimension, name: str, scope: Scope) -> exp.Expr:
        place = find_dimension(self.bound.dimensions, dimension)
        if place is not None:
            return placeholder(f"@{place}")
        measure = self.catalog.primitive(name) if name else None
        if dimension.type == "switch" and isinstance(measure, Measure):
            return self.leaf(fixed_value(self.bound, measure, dimension, scope))
        raise Unanswerable(
            f"A measure needs '{dimension.full_name}', which is not among the dimensions at its grain.",
            hint="Add it to the dimensions asked, or to add_group_by of the measure.",
            member=dimension.full_name,
        )


def _is_null(tree: exp.Expr) -> exp.Expr:
    return exp.Is(this=tree, expression=exp.Null())
