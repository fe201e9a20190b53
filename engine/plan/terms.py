"""Measures taken apart, for one grain: aggregates of rows (leaves), aggregates of groups (stages), values of coarser
grains (fixed), windows over groups, and the formulas over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import Dimension, Expanded, Measure
from engine.model.markers import FORMULAS
from engine.model.stages import Stage
from engine.plan.grain import find_dimension, kept_places, more_dimensions
from engine.plan.nodes import Fixed, Leaf, Plan, Scope, StageLeaf, StagePart
from engine.plan.scopes import rolled, staged_scope
from engine.query.bound import BoundDimension, BoundQuery, Path

ADDITIVE = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}
"""Types of leaves whose values over groups give the value over all of them, and by which aggregate."""
FUNCTIONS = {
    "sum": "sum",
    "running_total": "sum",
    "avg": "avg",
    "min": "min",
    "max": "max",
    "count": "count",
    "count_distinct": "uniqExact",
    "count_distinct_approx": "uniq",
}
"""ClickHouse's aggregate for each type of measure."""
_COUNTS = ("count", "count_distinct", "count_distinct_approx")
Assemble = Callable[["Terms"], Plan]
Alone = Callable[[Leaf], bool]


@dataclass(slots=True)
class _Inner:
    """The measures of an inner plan while they are collected."""

    terms: Terms
    names: list[str] = field(default_factory=list)
    leaves: list[StageLeaf] = field(default_factory=list)


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
        self._assemble, self._alone = assemble, alone
        self._finer: dict[tuple[tuple[int, ...], tuple[BoundDimension, ...]], _Inner] = {}
        self._coarser: dict[tuple[int, ...], _Inner] = {}
        self._done: dict[tuple[str, Scope], exp.Expr] = {}
        self._scopes: dict[Scope, str] = {self.base: "~0"}

    # --- results --------------------------------------------------------------------------------------------------

    def stages(self) -> tuple[StagePart, ...]:
        """The parts that aggregate the groups of a finer grain."""
        whole = tuple(range(len(self.bound.dimensions)))
        return tuple(
            StagePart(self._assemble(inner.terms), whole, tuple(inner.leaves))
            for (base, _), inner in self._finer.items()
            if base == whole
        )

    def fixed(self) -> tuple[Fixed, ...]:
        """The values of coarser grains."""
        found = [Fixed(tuple(inner.names), self._assemble(inner.terms), base) for base, inner in self._coarser.items()]
        for (base, _), inner in self._finer.items():
            if len(base) < len(self.bound.dimensions):
                found.append(self._fixed_stage(base, inner))
        return tuple(found)

    def _fixed_stage(self, base: tuple[int, ...], inner: _Inner) -> Fixed:
        finer = self._assemble(inner.terms)
        bound = replace(inner.terms.bound, dimensions=tuple(self.bound.dimensions[place] for place in base))
        part = StagePart(finer, tuple(range(len(base))), tuple(inner.leaves))
        names = tuple(leaf.name for leaf in inner.leaves)
        formulas = {name: _placeholder(name) for name in names}
        return Fixed(names, Plan(bound, bound.dimensions, (part,), formulas), base)

    def lift_windows(self) -> None:
        """Formulas that look at other groups by their own SQL are computed before conditions hide any of those."""
        for name, tree in self.formulas.items():
            leaves = (self.leaves.get(node.name) for node in tree.find_all(exp.Placeholder))
            raw = [leaf.tree for leaf in leaves if leaf is not None and leaf.raw and leaf.tree is not None]
            if any(each.find(exp.Window) for each in (tree, *raw)):
                self.windows[f"{name}!over"] = tree
                self.formulas[name] = _placeholder(f"{name}!over")

    # --- measures -------------------------------------------------------------------------------------------------

    def add(self, measure: Measure, path: Path, scope: Scope | None = None) -> exp.Expr:
        """The measure as an expression over placeholders."""
        scope = scope or self.base
        key = (measure.full_name, scope)
        if key not in self._done:
            self._done[key] = self._value(measure, path, scope)
            if scope == self.base:
                self.formulas[measure.full_name] = self._done[key]
        elif not self._same_path(measure, path, scope):
            raise Unanswerable(f"'{measure.full_name}' is asked for by two join paths at once.")
        return self._done[key]

    def value(self, name: str, tree: exp.Expr, path: Path, scope: Scope | None = None) -> exp.Expr:
        """Any expression over measures, under a name of its own."""
        self.formulas[name] = self._replaced(tree, path, scope or self.base)
        return self.formulas[name]

    def _same_path(self, measure: Measure, path: Path, scope: Scope) -> bool:
        leaf = self.leaves.get(measure.full_name + self._scopes.get(scope, "~"))
        return leaf is None or leaf.path == path

    def _value(self, measure: Measure, path: Path, scope: Scope) -> exp.Expr:
        name, spelled = measure.full_name, self.catalog.expanded[measure.full_name]
        if spelled.unsupported:
            raise Unanswerable(f"'{name}' needs {spelled.unsupported}; that cannot be answered.", member=name)
        if measure.stage is not None:
            return self._staged(measure, measure.stage, spelled, path, scope)
        if measure.window is not None:
            if measure.type in FORMULAS:
                raise Unanswerable(f"'{name}' is a formula; let its parts roll instead.", member=name)
            scope = rolled(self.bound, scope, measure.window)
        if measure.snapshot is not None and not self.bound.ungrouped:
            scope = replace(scope, snapshot=measure.snapshot)
        formula = measure.type in FORMULAS
        if formula and spelled.tree is not None and (spelled.measures or measure.case is not None):
            tree = _of_one_type(spelled.tree) if measure.case is not None and measure.type == "number" else spelled.tree
            return self._formula(measure, path, tree, scope)
        return self._leaf(Leaf(name, measure, path, spelled.tree, spelled.condition, formula, scope))

    def _leaf(self, leaf: Leaf) -> exp.Expr:
        suffix = self._scopes.setdefault(leaf.scope, f"~{len(self._scopes)}")
        name = leaf.name + suffix
        known = self.leaves.setdefault(name, replace(leaf, name=name))
        if known.path != leaf.path:
            raise Unanswerable(f"'{leaf.name}' is asked for by two join paths at once.")
        return _placeholder(name)

    def _formula(self, measure: Measure, path: Path, tree: exp.Expr, scope: Scope) -> exp.Expr:
        """A formula over measures; aggregates written into it become leaves too."""
        root = exp.Paren(this=tree.copy())
        for index, node in enumerate(list(_outermost_aggregates(root))):
            leaf = Leaf(f"{measure.full_name}#{index}", measure, path, node.copy(), None, True, scope)
            node.replace(self._leaf(leaf))
        return self._replaced(root, path, scope, measure.full_name)

    def _replaced(self, tree: exp.Expr, path: Path, scope: Scope, name: str = "") -> exp.Expr:
        """The tree with each measure in it replaced by its own expression, each dimension by its place."""
        root = exp.Paren(this=tree.copy())
        for node in list(root.find_all(exp.Placeholder)):
            if "~" in node.name:
                continue  # a leaf already
            inner = self.catalog.primitive(node.name)
            if isinstance(inner, Dimension):
                node.replace(self._dimension(inner))
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

    def _dimension(self, dimension: Dimension) -> exp.Expr:
        place = find_dimension(self.bound.dimensions, dimension)
        if place is None:
            raise Unanswerable(
                f"A measure needs '{dimension.full_name}', which is not among the dimensions at its grain.",
                hint="Add it to the dimensions asked, or to add_group_by of the measure.",
                member=dimension.full_name,
            )
        return _placeholder(f"@{place}")

    # --- stages ---------------------------------------------------------------------------------------------------

    def _staged(self, measure: Measure, stage: Stage, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        inner = staged_scope(self.bound, scope, stage)
        kept = kept_places(self.bound.dimensions, stage)
        more = more_dimensions(self.bound, stage, path)
        all_kept = len(kept) == len(self.bound.dimensions)
        if measure.type == "rank":
            if more:
                raise Unanswerable(f"'{measure.full_name}' is a rank with add_group_by.", member=measure.full_name)
            return self._rank(measure, stage, path, inner, kept)
        if more or measure.type == "number_agg":
            return self._by_finer(measure, spelled, path, inner, kept, more)
        if not all_kept and (stage.keep is not None or measure.type in FORMULAS):
            return self._by_coarser(measure, spelled, path, inner, kept)
        value = self._inner_value(measure, spelled, path, inner)
        if not all_kept:
            return self._over(FUNCTIONS[measure.type], value, kept)
        return _of_one(measure.type, value)

    def _inner_value(self, measure: Measure, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """What the stage aggregates, at this grain: child measures, NULL where the measure's filters do not hold."""
        if not _placeholders(spelled.tree) and not _placeholders(spelled.condition):
            raw = measure.type in FORMULAS
            return self._leaf(Leaf(measure.full_name, measure, path, spelled.tree, spelled.condition, raw, scope))
        tree = spelled.tree if spelled.tree is not None else exp.Literal.number(1)
        if measure.case is not None and measure.type == "number":
            tree = _of_one_type(tree)
        value = self._replaced(tree, path, scope, measure.full_name)
        if spelled.condition is None:
            return value
        condition = self._replaced(spelled.condition, path, scope, measure.full_name)
        return exp.Case(ifs=[exp.If(this=condition, true=value)])

    def _rank(self, measure: Measure, stage: Stage, path: Path, scope: Scope, kept: tuple[int, ...]) -> exp.Expr:
        if not stage.order:
            raise Unanswerable(f"'{measure.full_name}' is a rank without order_by.", member=measure.full_name)
        orders = []
        for index, (_, desc) in enumerate(stage.order):
            tree = self.catalog.expanded[f"{measure.full_name}#order{index}"].tree
            value = self._replaced(tree if tree is not None else exp.null(), path, scope, measure.full_name)
            orders.append(exp.Ordered(this=value, desc=desc, nulls_first=False))
        return self._window(exp.Anonymous(this="rank"), kept, exp.Order(expressions=orders))

    def _over(self, function: str, value: exp.Expr, kept: tuple[int, ...]) -> exp.Expr:
        return self._window(exp.Anonymous(this=function, expressions=[value.copy()]), kept)

    def _window(self, function: exp.Expr, kept: Sequence[int], order: exp.Expr | None = None) -> exp.Expr:
        partition = [_placeholder(f"@{place}") for place in kept]
        window = exp.Window(this=function, partition_by=partition, order=order)
        name = f"window{len(self.windows)}"
        self.windows[name] = window
        return _placeholder(name)

    def _by_coarser(
        self, measure: Measure, spelled: Expanded, path: Path, scope: Scope, kept: tuple[int, ...]
    ) -> exp.Expr:
        """The value at a coarser grain, the same for all groups that agree on it."""
        if _additive(measure, spelled):
            here = self._inner_value(measure, spelled, path, scope)
            leaf = self.leaves.get(here.name) if isinstance(here, exp.Placeholder) else None
            if leaf is not None and _adds_up(leaf) and self._alone(leaf):
                return self._over(ADDITIVE[leaf.measure.type], here, kept)
        self._present(spelled, path, scope)
        inner = self._coarser.get(kept)
        if inner is None:
            inner = self._coarser[kept] = _Inner(self._at(kept, ()))
        name = self._inner_name(measure, scope, "fixed")
        if name not in inner.names:
            value = inner.terms._inner_value(measure, spelled, path, scope)
            inner.terms.formulas[name] = _of_one(measure.type, value)
            inner.names.append(name)
        return _placeholder(name)

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
        if len(kept) < len(self.bound.dimensions):
            self._present(spelled, path, scope)
        inner = self._finer.get((kept, more))
        if inner is None:
            inner = self._finer[kept, more] = _Inner(self._at(kept, more))
        name = self._inner_name(measure, scope, "stage")
        if name in {leaf.name for leaf in inner.leaves}:
            return _placeholder(name)
        if measure.type == "number_agg":
            tree = self._regrouped(inner.terms, name, spelled, path, scope)
        else:
            inner.terms.formulas[name] = inner.terms._inner_value(measure, spelled, path, scope)
            tree = exp.Anonymous(this=FUNCTIONS.get(measure.type, "any"), expressions=[_placeholder(name)])
        inner.leaves.append(StageLeaf(name, tree))
        return _placeholder(name)

    def _regrouped(self, inner: Terms, name: str, spelled: Expanded, path: Path, scope: Scope) -> exp.Expr:
        """The aggregates of a `number_agg` over formulas of the inner plan."""
        root = exp.Paren(this=(spelled.tree or exp.null()).copy())
        for index, node in enumerate(list(_outermost_aggregates(root))):
            for place, argument in enumerate(list(node.iter_expressions())):
                if isinstance(argument, exp.Star | exp.Literal):
                    continue
                key = f"{name}#{index}.{place}"
                value = inner._replaced(argument, path, scope, name)
                if spelled.condition is not None:
                    condition = inner._replaced(spelled.condition, path, scope, name)
                    value = exp.Case(ifs=[exp.If(this=condition, true=value)])
                inner.formulas[key] = value
                argument.replace(_placeholder(key))
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def _inner_name(self, measure: Measure, scope: Scope, kind: str) -> str:
        return f"{measure.full_name}!{kind}{self._scopes.setdefault(scope, f'~{len(self._scopes)}')}"

    def _at(self, kept: Iterable[int], more: tuple[BoundDimension, ...]) -> Terms:
        """Terms of the question at another grain."""
        dimensions = (*(self.bound.dimensions[place] for place in kept), *more)
        return Terms(inner_question(self.bound, dimensions), self._assemble, self._alone)

    def _present(self, spelled: Expanded, path: Path, scope: Scope) -> None:
        """The groups of this grain in which the measure's rows lie are part of the answer."""
        for name in [*_placeholders(spelled.tree), *_placeholders(spelled.condition)]:
            inner = self.catalog.primitive(name)
            if isinstance(inner, Measure):
                way = path if path and path[-1] == inner.cube else (inner.cube,)
                if inner.stage is None:
                    self.add(inner, way, scope)
                else:
                    self._present(self.catalog.expanded[name], way, scope)


def inner_question(bound: BoundQuery, dimensions: tuple[BoundDimension, ...]) -> BoundQuery:
    """The same question by other dimensions, neither sorted nor cut, without conditions on measures."""
    return replace(
        bound,
        dimensions=dimensions,
        measures=(),
        having=(),
        mixed=(),
        order=(),
        limit=False,
        offset=False,
        total=False,
        ungrouped=False,
    )


def _additive(measure: Measure, spelled: Expanded) -> bool:
    return measure.type not in FORMULAS and spelled.condition is None and isinstance(spelled.tree, exp.Placeholder)


def _adds_up(leaf: Leaf) -> bool:
    plain = not leaf.raw and leaf.scope.window is None and leaf.scope.snapshot is None
    return plain and leaf.measure.type in ADDITIVE


def _of_one(kind: str, value: exp.Expr) -> exp.Expr:
    """The aggregate of a single value."""
    if kind not in _COUNTS:
        return value
    return exp.Anonymous(this="toUInt64", expressions=[exp.Not(this=exp.Is(this=value, expression=exp.Null()))])


def _of_one_type(case: exp.Expr) -> exp.Expr:
    """The branches of a case over measures as floats: signed and unsigned numbers have no type in common."""
    case = case.copy()
    for branch in case.args.get("ifs") or ():
        branch.set("true", exp.Anonymous(this="toFloat64", expressions=[branch.args["true"]]))
    if case.args.get("default") is not None:
        case.set("default", exp.Anonymous(this="toFloat64", expressions=[case.args["default"]]))
    return case


def _placeholder(name: str) -> exp.Placeholder:
    return exp.Placeholder(this=name)


def _placeholders(tree: exp.Expr | None) -> list[str]:
    return [node.name for node in tree.find_all(exp.Placeholder)] if tree is not None else []


def _outermost_aggregates(tree: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(tree, exp.AggFunc):
        yield tree
        return
    for child in tree.iter_expressions():
        yield from _outermost_aggregates(child)
