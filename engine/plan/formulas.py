"""Measures taken apart: aggregates (leaves) and the formulas over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import Catalog, Measure
from engine.model.markers import FORMULAS
from engine.plan.nodes import Leaf


class Formulas:
    """Collects the leaves of measures; each leaf once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.leaves: dict[str, Leaf] = {}
        self.formulas: dict[str, exp.Expr] = {}

    def add(self, measure: Measure, path: tuple[str, ...]) -> exp.Expr:
        """The measure as an expression over leaves (placeholders named like them)."""
        name = measure.full_name
        if name not in self.formulas:
            spelled = self.catalog.expanded[name]
            if spelled.unsupported:
                raise Unanswerable(f"'{name}' needs {spelled.unsupported}; that cannot be answered yet.", member=name)
            if measure.type in FORMULAS and spelled.measures and spelled.tree is not None:
                self.formulas[name] = self._formula(measure, path, spelled.tree)
            else:
                raw = measure.type in FORMULAS
                self.formulas[name] = self._leaf(Leaf(name, measure, path, spelled.tree, spelled.condition, raw))
        return self.formulas[name]

    def value(self, name: str, tree: exp.Expr, path: tuple[str, ...]) -> None:
        """Any expression over measures, under a name of its own."""
        self.formulas[name] = self._replaced(tree, path)

    def _leaf(self, leaf: Leaf) -> exp.Expr:
        known = self.leaves.setdefault(leaf.name, leaf)
        if known.path != leaf.path:
            raise Unanswerable(f"'{leaf.name}' is asked for by two join paths at once.")
        return exp.Placeholder(this=leaf.name)

    def _formula(self, measure: Measure, path: tuple[str, ...], tree: exp.Expr) -> exp.Expr:
        root = exp.Paren(this=tree.copy())
        for index, node in enumerate(list(_outermost_aggregates(root))):
            leaf = Leaf(f"{measure.full_name}#{index}", measure, path, node.copy(), None, True)
            node.replace(self._leaf(leaf))
        stray = next(root.find_all(exp.Column), None)
        if stray is not None:
            raise Unanswerable(f"'{measure.full_name}' uses {stray.sql('clickhouse')} outside of an aggregate.")
        return self._replaced(root, path)

    def _replaced(self, tree: exp.Expr, path: tuple[str, ...]) -> exp.Expr:
        root = exp.Paren(this=tree)
        for node in list(root.find_all(exp.Placeholder)):
            inner = self.catalog.primitive(node.name) if "#" not in node.name else None
            if isinstance(inner, Measure):
                way = path if path and path[-1] == inner.cube else (inner.cube,)
                formula = self.add(inner, way)
                node.replace(formula.copy() if isinstance(formula, exp.Placeholder) else exp.Paren(this=formula.copy()))
        return root.this if not isinstance(root.this, exp.Paren) else root.this.this  # type: ignore[no-any-return]


def _outermost_aggregates(tree: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(tree, exp.AggFunc):
        yield tree
        return
    for child in tree.iter_expressions():
        yield from _outermost_aggregates(child)


def facts(leaves: Iterable[Leaf]) -> dict[str, list[Leaf]]:
    """The leaves by the cube whose rows they aggregate."""
    found: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        found.setdefault(leaf.cube, []).append(leaf)
    return found
