"""Leaves as ClickHouse aggregates; rows that a LEFT JOIN made up are never counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.plan.aggregates import COUNTED, FUNCTIONS
from engine.plan.nodes import Leaf, Part
from engine.sql.time import call

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_SCALAR = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Quantile)
"""Aggregates of single values."""
_STRICT = (exp.Column, exp.Paren, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Identifier, exp.Literal, exp.Nullif)


class Aggregates:
    """Renders the leaves of one plan."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.catalog = renderer.catalog

    def of(self, leaf: Leaf, part: Part) -> exp.Expr:
        """The aggregate of a leaf over the rows of its part."""
        first = _first(leaf, part)
        if self.renderer.plan.query.ungrouped:
            return self._ungrouped(leaf, first)
        if leaf.raw:
            return self._raw(leaf, first)
        if leaf.measure.type == "count" and leaf.tree is None:
            return self._count(leaf, part, first)
        value = self._condition(leaf, self._value(leaf), first)
        return call(FUNCTIONS[leaf.measure.type], value)

    def value(self, leaf: Leaf, part: Part) -> exp.Expr:
        """What a row of the fact contributes to the leaf; NULL where its filters do not hold."""
        if _plain_count(leaf):
            if _first(leaf, part) and not part.tree.multiplies(leaf.cube):
                return self._case(self._own_condition(leaf), exp.Literal.number(1))
            keys = self._keys(leaf.cube)
            key = call("tuple", *keys) if len(keys) > 1 and function_of(leaf, part) == "uniqExact" else keys[0]
            present = _first(leaf, part) and not isinstance(key, exp.Anonymous)
            return self._condition(leaf, key, present)
        return self._condition(leaf, self._value(leaf), _first(leaf, part))

    def _count(self, leaf: Leaf, part: Part, first: bool) -> exp.Expr:
        condition = self._own_condition(leaf)
        if part.tree.multiplies(leaf.cube):
            keys = self._keys(leaf.cube)
            tuple_ = call("tuple", *keys) if len(keys) > 1 else keys[0]
            present = _present(keys[0].copy())
            both = exp.And(this=present, expression=condition) if condition is not None else present
            return call("uniqExactIf", tuple_, both)
        if first:
            return _count_where(condition)
        return call("count", self._case(condition, self._keys(leaf.cube)[0]))

    def _raw(self, leaf: Leaf, first: bool) -> exp.Expr:
        tree = self._value(leaf)
        if first:
            return tree
        root = exp.Paren(this=tree)
        for node in list(root.find_all(exp.Count)):
            if isinstance(node.this, exp.Star | exp.Literal) or node.this is None:
                node.set("this", self._keys(leaf.cube)[0])
        for each in [each for each in root.find_all(exp.AggFunc) if each.find_ancestor(exp.AggFunc) is None]:
            self._only_present(leaf, each)
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def _only_present(self, leaf: Leaf, node: exp.AggFunc) -> None:
        """Keep an aggregate of the model's SQL from rows of the cube that are not there.

        NULL for its value does where a value can be NULL; an array or a map cannot, so that others get a FILTER, or
        what they have of one (`…If`) is narrowed.
        """
        alias, present = self.catalog.cubes[leaf.cube].alias, _present(self._keys(leaf.cube)[0])
        loose = [argument for argument in _arguments(node) if not _strict(argument, alias)]
        if isinstance(node, _SCALAR) or node.find(exp.Distinct) is not None:
            for argument in loose:
                argument.replace(self._case(present.copy(), argument.copy()))
        elif loose and (condition := _condition_in(node)) is not None:
            condition.replace(exp.And(this=present, expression=exp.Paren(this=condition.copy())))
        elif loose:
            node.replace(exp.Filter(this=node.copy(), expression=exp.Where(this=present)))

    def _ungrouped(self, leaf: Leaf, first: bool) -> exp.Expr:
        """What one row is to the measure: its value; to a count, 1 where there is something to count."""
        one = exp.Literal.number(1)
        if _plain_count(leaf):
            if first:
                return self._case(self._own_condition(leaf), one)
            return self._condition(leaf, one, False)
        value = self._condition(leaf, self._value(leaf), first)
        return self._case(_present(exp.Paren(this=value)), one) if leaf.measure.type in COUNTED else value

    def _condition(self, leaf: Leaf, value: exp.Expr, first: bool) -> exp.Expr:
        """The value where the measure's filters hold and the row is one of the cube's own."""
        condition = self._own_condition(leaf)
        if not first and not _strict(value, self.catalog.cubes[leaf.cube].alias):
            present = _present(self._keys(leaf.cube)[0])
            condition = (
                exp.And(this=present, expression=exp.Paren(this=condition)) if condition is not None else present
            )
        return self._case(condition, value)

    def _case(self, condition: exp.Expr | None, value: exp.Expr) -> exp.Expr:
        if condition is None:
            return value
        return exp.Case(ifs=[exp.If(this=condition, true=value)])

    def _own_condition(self, leaf: Leaf) -> exp.Expr | None:
        if leaf.condition is None:
            return None
        name, sources = leaf.measure.full_name, self.renderer.sources
        if leaf.condition is self.catalog.expanded[name].condition:
            return sources.spelled(name, condition=True)
        return sources.timed(leaf.condition.copy())

    def _value(self, leaf: Leaf) -> exp.Expr:
        name, sources = leaf.measure.full_name, self.renderer.sources
        if leaf.tree is self.catalog.expanded[name].tree:
            return sources.spelled(name)
        return sources.timed(leaf.tree.copy() if leaf.tree is not None else exp.null())

    def _keys(self, cube: str) -> list[exp.Expr]:
        primary = self.catalog.cubes[cube].primary_key
        if not primary:
            raise Unanswerable(
                f"primary key for '{cube}' is required when join is defined in order to make aggregates work properly",
                hint=f"Mark a dimension of '{cube}' with primary_key: true.",
            )
        return [self.renderer.own(key.full_name) for key in primary]


def function_of(leaf: Leaf, part: Part) -> str:
    """The leaf's function over its `value`; the rows of a multiplied fact are told apart by their keys."""
    if _plain_count(leaf) and not part.fact_key and part.tree.multiplies(leaf.cube):
        return "uniqExact"
    return FUNCTIONS[leaf.measure.type]


def _count_where(condition: exp.Expr | None) -> exp.Expr:
    """The number of rows for which the condition holds."""
    if condition is None:
        return exp.Count(this=exp.Star())
    known = _known(condition)
    return call("count", known.copy()) if known is not None else call("countIf", condition)


def _known(condition: exp.Expr) -> exp.Column | None:
    """The column x of `NOT x IS NULL`."""
    negated = condition.unnest()
    test = negated.this.unnest() if isinstance(negated, exp.Not) else None
    null = isinstance(test, exp.Is) and isinstance(test.expression, exp.Null)
    return test.this if test is not None and null and isinstance(test.this, exp.Column) else None


def _plain_count(leaf: Leaf) -> bool:
    return leaf.measure.type == "count" and leaf.tree is None


def _first(leaf: Leaf, part: Part) -> bool:
    """Whether every row that is read is one of the leaf's cube: it is the root, not brought by a LEFT JOIN."""
    return part.fact_tree is None and part.tree.root == leaf.cube


def _strict(value: exp.Expr, alias: str) -> bool:
    """Whether the value is NULL by itself where the row of the cube is not there: a column of the cube makes it so."""
    if not all(isinstance(node, _STRICT) for node in value.walk()):
        return False
    return any(column.table == alias for column in value.find_all(exp.Column))


def _condition_in(node: exp.AggFunc) -> exp.Expr | None:
    """The condition that an aggregate has already: the last argument of `…If`, or that of its FILTER."""
    if isinstance(node, exp.CountIf):
        return node.this  # type: ignore[no-any-return]
    if "If" in node.name:
        return (node.args.get("params") or node.expressions)[-1]  # type: ignore[no-any-return]
    return node.parent.expression.this if isinstance(node.parent, exp.Filter) else None


def _arguments(tree: exp.Expr) -> Iterator[exp.Expr]:
    """What the aggregates in the tree take from each row."""
    for child in tree.iter_expressions():
        if isinstance(tree, exp.AggFunc) and not isinstance(child, exp.Distinct):
            if child.find(exp.Column) is not None:
                yield child
        elif isinstance(tree, exp.Distinct) and child.find(exp.Column) is not None:
            yield child
        else:
            yield from _arguments(child)


def _present(key: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=key, expression=exp.Null()))
