"""Measures of several stages: at a coarser or finer grain than the question's, over its groups, or ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import Expanded, Measure
from engine.model.markers import FORMULAS
from engine.model.stages import Stage
from engine.plan.aggregates import ADDITIVE, COUNTED, FUNCTIONS
from engine.plan.expressions import of_one_type, outermost_aggregates, placeholder, placeholders
from engine.plan.grain import inner_question, kept_places, more_dimensions
from engine.plan.nodes import Fixed, Leaf, Plan, Scope, StageLeaf, StagePart
from engine.plan.scopes import rolled, staged_scope
from engine.query.bound import BoundDimension, Path

if TYPE_CHECKING:
    from engine.plan.terms import Terms

_ADDED_ALIKE = ("sum", "min", "max")
"""Types of which the aggregate of aggregates is the aggregate of all rows."""


@dataclass(slots=True)
class _Inner:
    """The measures of an inner plan while they are collected."""

    terms: Terms
    names: list[str] = field(default_factory=list)
    leaves: list[StageLeaf] = field(default_factory=list)


class Stages:
    """Collects the inner plans that the measures of one grain need; each once."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._finer: dict[tuple[tuple[int, ...], tuple[BoundDimension, ...]], _Inner] = {}
        self._coarser: dict[tuple[int, ...], _Inner] = {}

    def parts(self) -> tuple[StagePart, ...]:
        """The parts that aggregate the groups of a finer grain."""
        whole = tuple(range(len(self.terms.bound.dimensions)))
        return tuple(
            StagePart(self.terms.assemble(inner.terms), whole, tuple(inner.leaves))
            for (base, _), inner in self._finer.items()
            if base == whole
        )

    def fixed(self) -> tuple[Fixed, ...]:
        """The values of coarser grains."""
        found = [
            Fixed(tuple(inner.names), self.terms.assemble(inner.terms), base) for base, inner in self._coarser.items()
        ]
        for (base, _), inner in self._finer.items():
            if len(base) < len(self.terms.bound.dimensions):
                found.append(self._fixed_stage(base, inner))
        return tuple(found)

    def _fixed_stage(self, base: tuple[int, ...], inner: _Inner) -> Fixed:
        finer = self.terms.assemble(inner.terms)
        bound = replace(inner.terms.bound, dimensions=tuple(self.terms.bound.dimensions[place] for place in base))
        part = StagePart(finer, tuple(range(len(base))), tuple(inner.leaves))
        names = tuple(leaf.name for leaf in inner.leaves)
        formulas = {name: placeholder(name) for name in names}
        return Fixed(names, Plan(bound, bound.dimensions, (part,), formulas), base)

    def value(self, measure: Measure, stage: Stage, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """A multi-stage measure as an expression over placeholders."""
        inner = staged_scope(self.terms.bound, scope, stage)
        if measure.window is not None:
            return self._rolled(measure, stage, spelled, path, rolled(self.terms.bound, inner, measure.window))
        kept = kept_places(self.terms.bound.dimensions, stage)
        more = more_dimensions(self.terms.bound, stage, path, [self.terms.bound.dimensions[place] for place in kept])
        all_kept = len(kept) == len(self.terms.bound.dimensions)
        if measure.type == "rank":
            if more:
                raise Unanswerable(f"'{measure.full_name}' is a rank with add_group_by.", member=measure.full_name)
            return self._rank(measure, stage, path, inner, kept)
        regroups = measure.type == "number_agg" or bool(more and _aggregates_measures(measure, spelled))
        if more and measure.type in FORMULAS and not regroups:
            raise Unanswerable(
                f"'{measure.full_name}' groups finer by add_group_by, but its type is '{measure.type}'.",
                hint="Give it a type that aggregates those groups, such as sum, avg or number_agg.",
                member=measure.full_name,
            )
        if more or regroups:
            return self._by_finer(measure, spelled, path, inner, kept, more)
        if not all_kept and (stage.keep is not None or measure.type in FORMULAS):
            return self._by_coarser(measure, spelled, path, inner, kept)
        value = self.inner_value(measure, spelled, path, inner)
        if not all_kept:
            return self._over(FUNCTIONS[measure.type], value, kept)
        return _of_one(measure.type, value)

    def inner_value(self, measure: Measure, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """What the stage aggregates, at this grain: child measures, NULL where the measure's filters do not hold."""
        if not placeholders(spelled.tree) and not placeholders(spelled.condition):
            raw = measure.type in FORMULAS
            if raw and spelled.condition is not None:
                raise Unanswerable(f"'{measure.full_name}' is a formula; let its parts have the filters.")
            return self.terms.leaf(Leaf(measure.full_name, measure, path, spelled.tree, spelled.condition, raw, scope))
        tree = spelled.tree if spelled.tree is not None else exp.Literal.number(1)
        if measure.case is not None and measure.type == "number":
            tree = of_one_type(tree)
        value = self.terms.replaced(tree, path, scope, measure.full_name)
        if spelled.condition is None:
            return value
        condition = self.terms.replaced(spelled.condition, path, scope, measure.full_name)
        return exp.Case(ifs=[exp.If(this=condition, true=value)])

    def _rolled(self, measure: Measure, stage: Stage, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """A window over a measure that adds up alike: the rows of that one roll."""
        name = spelled.tree.name if isinstance(spelled.tree, exp.Placeholder) else ""
        inner = self.terms.catalog.primitive(name) if name else None
        plain = isinstance(inner, Measure) and not (inner.stage or inner.window or inner.snapshot)
        same_grain = not stage.include and not stage.exclude and stage.keep is None and spelled.condition is None
        if not isinstance(inner, Measure) or not (plain and same_grain and inner.type == measure.type in _ADDED_ALIKE):
            problem = f"'{measure.full_name}' has stages; let the measure inside roll."
            raise Unanswerable(problem, member=measure.full_name)
        return self.terms.add(inner, path if path and path[-1] == inner.cube else (inner.cube,), scope)

    def _rank(self, measure: Measure, stage: Stage, path: Path, scope: Scope, kept: tuple[int, ...]) -> exp.Expr:
        if not stage.order:
            raise Unanswerable(f"'{measure.full_name}' is a rank without order_by.", member=measure.full_name)
        orders = []
        for index, (_, desc) in enumerate(stage.order):
            tree = self.terms.catalog.expanded[f"{measure.full_name}#order{index}"].tree
            value = self.terms.replaced(tree if tree is not None else exp.null(), path, scope, measure.full_name)
            orders.append(exp.Ordered(this=value, desc=desc, nulls_first=False))
        return self._window(exp.Anonymous(this="rank"), kept, exp.Order(expressions=orders))

    def _over(self, function: str, value: exp.Expr, kept: tuple[int, ...]) -> exp.Expr:
        return self._window(exp.Anonymous(this=function, expressions=[value.copy()]), kept)

    def _window(self, function: exp.Expr, kept: Sequence[int], order: exp.Expr | None = None) -> exp.Expr:
        partition = [placeholder(f"@{place}") for place in kept]
        window = exp.Window(this=function, partition_by=partition, order=order)
        name = f"window{len(self.terms.windows)}"
        self.terms.windows[name] = window
        return placeholder(name)

    def _by_coarser(
        self, measure: Measure, spelled: Expanded, path: Path, scope: Scope, kept: tuple[int, ...]
    ) -> exp.Expr:
        """The value at a coarser grain, the same for all groups that agree on it."""
        if _additive(measure, spelled):
            here = self.inner_value(measure, spelled, path, scope)
            leaf = self.terms.leaves.get(here.name) if isinstance(here, exp.Placeholder) else None
            if leaf is not None and _adds_up(leaf) and self.terms.alone(leaf):
                return self._over(ADDITIVE[leaf.measure.type], here, kept)
        self._present(spelled, path, scope)
        inner = self._coarser.get(kept)
        if inner is None:
            inner = self._coarser[kept] = _Inner(self._at(kept, ()))
        name = self._inner_name(measure, scope, "fixed")
        if name not in inner.names:
            value = inner.terms.stages.inner_value(measure, spelled, path, scope)
            inner.terms.formulas[name] = _of_one(measure.type, value)
            inner.names.append(name)
        return placeholder(name)

    def _by_finer(
        self,
        measure: Measure,
        spelled: Expanded,
        path: Path,
        scope: Scope,
        kept: tuple[int, ...],
        more: tuple[BoundDimension, ...],
    ) -> exp.Expr:
        """Aggregated at a finer grain first, then its groups to this one (or a coarser one that this one shows)."""
        if len(kept) < len(self.terms.bound.dimensions):
            self._present(spelled, path, scope)
        inner = self._finer.get((kept, more))
        if inner is None:
            inner = self._finer[kept, more] = _Inner(self._at(kept, more))
        name = self._inner_name(measure, scope, "stage")
        if name in {leaf.name for leaf in inner.leaves}:
            return placeholder(name)
        if measure.type in (*FORMULAS, "number_agg"):
            tree = self._regrouped(inner.terms, name, spelled, path, scope)
        else:
            inner.terms.formulas[name] = inner.terms.stages.inner_value(measure, spelled, path, scope)
            tree = exp.Anonymous(this=FUNCTIONS[measure.type], expressions=[placeholder(name)])
        inner.leaves.append(StageLeaf(name, tree))
        return placeholder(name)

    def _regrouped(self, inner: Terms, name: str, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """The aggregates of a `number_agg` over formulas of the inner plan."""
        root = exp.Paren(this=(spelled.tree or exp.null()).copy())
        for index, node in enumerate(list(outermost_aggregates(root))):
            for place, argument in enumerate(list(node.iter_expressions())):
                if isinstance(argument, exp.Star | exp.Literal):
                    continue
                key = f"{name}#{index}.{place}"
                value = inner.replaced(argument, path, scope, name)
                if spelled.condition is not None:
                    condition = inner.replaced(spelled.condition, path, scope, name)
                    value = exp.Case(ifs=[exp.If(this=condition, true=value)])
                inner.formulas[key] = value
                argument.replace(placeholder(key))
        if any(node.name not in inner.formulas for node in root.find_all(exp.Placeholder)):
            raise Unanswerable("A measure of type number_agg must aggregate every measure in its SQL.")
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def _inner_name(self, measure: Measure, scope: Scope, kind: str) -> str:
        return f"{measure.full_name}!{kind}{self.terms.suffix(scope)}"

    def _at(self, kept: Iterable[int], more: tuple[BoundDimension, ...]) -> Terms:
        """Terms of the question at another grain."""
        dimensions = (*(self.terms.bound.dimensions[place] for place in kept), *more)
        return type(self.terms)(inner_question(self.terms.bound, dimensions), self.terms.assemble, self.terms.alone)

    def _present(self, spelled: Expanded, path: Path, scope: Scope) -> None:
        """The groups of this grain in which the measure's rows lie are part of the answer."""
        for name in [*placeholders(spelled.tree), *placeholders(spelled.condition)]:
            inner = self.terms.catalog.primitive(name)
            if isinstance(inner, Measure):
                way = path if path and path[-1] == inner.cube else (inner.cube,)
                if inner.stage is None:
                    self.terms.add(inner, way, scope)
                else:
                    self._present(
                        self.terms.catalog.expanded[name], way, staged_scope(self.terms.bound, scope, inner.stage)
                    )


def _aggregates_measures(measure: Measure, spelled: Expanded) -> bool:
    """Whether a formula aggregates the measures of its groups itself."""
    if measure.type not in FORMULAS or spelled.tree is None:
        return False
    return any(placeholders(node) for node in outermost_aggregates(spelled.tree))


def _additive(measure: Measure, spelled: Expanded) -> bool:
    aggregate = measure.type not in FORMULAS and measure.type not in COUNTED
    return aggregate and spelled.condition is None and isinstance(spelled.tree, exp.Placeholder)


def _adds_up(leaf: Leaf) -> bool:
    plain = not leaf.raw and leaf.scope.window is None and leaf.scope.snapshot is None
    return plain and leaf.measure.type in ADDITIVE


def _of_one(kind: str, value: exp.Expr) -> exp.Expr:
    """The aggregate of a single value."""
    if kind not in COUNTED:
        return value
    return exp.Anonymous(this="toUInt64", expressions=[exp.Not(this=exp.Is(this=value, expression=exp.Null()))])
