"""Aggregates in two steps: over the rows of the fact by its keys, then over those partial results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from sqlglot import exp

from engine.sql.clauses import column
from engine.sql.time import call, number

_NAMES: Mapping[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.CountIf: "count",
    exp.Sum: "sum",
    exp.Min: "min",
    exp.Max: "max",
    exp.Avg: "avg",
    exp.ApproxDistinct: "uniq",
}
_CALLED = {"count": "count", "countIf": "count", "sum": "sum", "min": "min", "max": "max", "avg": "avg"}
_UNCUT = (exp.Column, exp.AggFunc, exp.Window, exp.Query, exp.Filter)
_WHOLE = (exp.Distinct, exp.Query, exp.Window)
_DISTINCT = {"uniqExact": "uniqExact", "uniq": "uniq"}
_QUANTILES = frozenset(
    f"quantile{kind}" for kind in ("Exact", "ExactLow", "ExactHigh", "ExactInclusive", "ExactExclusive", "BFloat16")
)
"""Quantiles that do not depend on the order of the rows."""


class Partials:
    """Takes the aggregates in `values` apart; `columns` are the partial ones by name. `shared`: joins repeat the
    partial rows."""

    def __init__(self, alias: str, values: Iterable[exp.Expr], *, shared: bool, prefix: str = "a") -> None:
        self.shared = shared
        self._prefix = prefix
        self._values = values
        self.failed = False
        self.columns: dict[str, exp.Expr] = {}
        self._alias = alias

    def of(self, value: exp.Expr) -> exp.Expr | None:
        """The value over partial results; None (and `failed`) if it is no formula over aggregates that we can cut."""
        root = exp.Paren(this=value)
        self._cut(root)
        if self.failed:
            return None
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def carried(self, name: str) -> exp.Expr:
        """A partial result in a group of equal ones."""
        return call("any", column(name, self._alias))

    def _cut(self, node: exp.Expr) -> None:
        """Replace each aggregate; a column, a window or a query that stands outside of them cannot be had later."""
        for child in list(node.iter_expressions()):
            cut = self._parts(child)
            if cut is not None:
                child.replace(cut)
            elif isinstance(child, _UNCUT):
                self.failed = True
            else:
                self._cut(child)

    def _parts(self, node: exp.Expr) -> exp.Expr | None:
        """The aggregate in two steps; None if the node is none that can be cut, or reads more than the fact."""
        name = _function(node)
        if name is None or not self._is_own(node):
            return None
        if name in _DISTINCT.values():
            return None if self.shared else self._state(name, node)
        if name in _QUANTILES:
            return None if self.shared else self._quantile(name, node)
        return _TOTALS[name](self, node)

    def _is_own(self, node: exp.Expr) -> bool:
        """Whether the aggregate reads nothing but columns of the fact, as they are."""
        for each in node.walk():
            if isinstance(each, exp.Column):
                if each.table != self._alias:
                    return False
            elif isinstance(each, _WHOLE):
                return False
        return True

    def _partial(self, value: exp.Expr) -> exp.Column:
        name = next((known for known, tree in self.columns.items() if tree == value), None)
        if name is None:
            name = f"{self._prefix}{len(self.columns)}"
            self.columns[name] = value
        return column(name, self._alias)

    def _count(self, node: exp.Expr) -> exp.Expr:
        return call("coalesce", call("sum", self._partial(node)), number(0))

    def _same(self, node: exp.Expr) -> exp.Expr:
        return call(str(_function(node)), self._partial(node))

    def _avg(self, node: exp.Expr) -> exp.Expr:
        """Sum by count; a Float64 as `avg` gives it."""
        value = _argument(node)
        total = call("sum", self._partial(call("sum", value.copy())))
        count = call("sum", self._partial(call("count", value.copy())))
        divided = exp.Div(this=call("toFloat64", total), expression=call("nullIf", count, number(0)))
        return exp.Paren(this=divided)

    def _state(self, name: str, node: exp.Expr) -> exp.Expr:
        arguments = node.expressions if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else [node.this]
        return call(f"{name}Merge", self._partial(call(f"{name}State", *(each.copy() for each in arguments))))

    def _quantile(self, name: str, node: exp.Expr) -> exp.Expr:
        """One state for all levels of a value: each is an element of the merged state, NULL where there is no value."""
        value = node.args["params"][0]
        levels = self._levels[name, value]
        several = name if len(levels) == 1 else name.replace("quantile", "quantiles")
        state = self._partial(_with_levels(f"{several}State", levels, value.copy()))
        merged = _with_levels(f"{several}Merge", levels, state)
        if len(levels) == 1:
            return merged
        found = exp.GT(this=call("sum", self._partial(call("count", value.copy()))), expression=number(0))
        element = call("arrayElement", merged, number(levels.index(node.expressions[0]) + 1))
        return exp.Paren(this=exp.Case(ifs=[exp.If(this=found, true=element)]))

    @cached_property
    def _levels(self) -> Mapping[tuple[str, exp.Expr], list[exp.Expr]]:
        """The levels at which quantiles of a value are asked for."""
        found: dict[tuple[str, exp.Expr], list[exp.Expr]] = {}
        for node in (node for value in self._values for node in value.find_all(exp.ParameterizedAgg)):
            if _function(node) in _QUANTILES:
                levels = found.setdefault((node.name, node.args["params"][0]), [])
                levels.extend(each for each in node.expressions if each not in levels)
        return found


_TOTALS: Mapping[str, Callable[[Partials, exp.Expr], exp.Expr]] = {
    "count": Partials._count,
    "sum": Partials._same,
    "min": Partials._same,
    "max": Partials._same,
    "avg": Partials._avg,
}


def _function(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return _CALLED.get(node.name) or _DISTINCT.get(node.name)
    if type(node) is exp.ParameterizedAgg:
        one = len(node.expressions) == len(node.args["params"]) == 1 and isinstance(node.expressions[0], exp.Literal)
        return node.name if one and node.name in _QUANTILES else None
    return _NAMES.get(type(node))


def _with_levels(name: str, levels: Iterable[exp.Expr], value: exp.Expr) -> exp.Expr:
    return exp.CombinedParameterizedAgg(this=name, expressions=[each.copy() for each in levels], params=[value])


def _argument(node: exp.Expr) -> exp.Expr:
    found: exp.Expr = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    return found
