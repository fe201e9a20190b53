"""Switches: each row stands once for each of their values, so that a question shows these or fixes one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.errors import Unanswerable
from engine.model.catalog import Dimension, Measure
from engine.plan.nodes import Leaf, Scope, SubQuery
from engine.query.bound import BoundFilter, BoundGroup, BoundQuery, BoundTree, tree_names
from engine.query.request import Slot


def values_of(bound: BoundQuery, dimension: Dimension, where: Iterable[BoundTree]) -> SubQuery:
    """The values of a switch beside the rows; Unanswerable where every row would count once for each of them."""
    name = dimension.full_name
    if not _is_fixed(name, where) and not any(name in _switches(bound, each.dimension) for each in bound.dimensions):
        raise several(name)
    return SubQuery(dimension.cube, name, values=dimension.values)


def several(name: str) -> Unanswerable:
    """The refusal of a switch that is neither shown nor fixed."""
    return Unanswerable(
        f"The switch '{name}' has several values here.", hint="Ask for it, or filter it to one value.", member=name
    )


def repeats(bound: BoundQuery, where: Iterable[BoundTree]) -> bool:
    """Whether a row may stand twice in one group: a dimension that is made of a switch shows two values alike."""
    listed = tuple(where)
    asked = {each.dimension.full_name for each in bound.dimensions}
    made = {name for each in bound.dimensions for name in _switches(bound, each.dimension)}
    return any(not _is_fixed(name, listed) for name in made - asked)


def has_switch(bound: BoundQuery) -> bool:
    """Whether a dimension of the question is a switch or made of one."""
    return any(_switches(bound, each.dimension) for each in bound.dimensions)


def fixed_value(bound: BoundQuery, measure: Measure, dimension: Dimension, scope: Scope) -> Leaf:
    """The one value of a switch that is filtered, not shown."""
    if not _is_fixed(dimension.full_name, scope.where):
        raise several(dimension.full_name)
    tree = bound.catalog.expanded[dimension.full_name].tree
    least = replace(measure, cube=dimension.cube, name=dimension.name, type="min", filters=(), case=None, stage=None)
    return Leaf(f"{dimension.full_name}#value", least, (dimension.cube,), tree, None, False, scope)


def _switches(bound: BoundQuery, dimension: Dimension) -> list[str]:
    """The switches of which a dimension is made."""
    names = bound.catalog.expanded[dimension.full_name].sub_queries
    return [name for name in names if _is_switch(bound, name)]


def _is_switch(bound: BoundQuery, name: str) -> bool:
    member = bound.catalog.primitive(name)
    return isinstance(member, Dimension) and member.type == "switch"


def _is_fixed(name: str, where: Iterable[BoundTree]) -> bool:
    """Whether a condition leaves one value."""
    for tree in where:
        if isinstance(tree, BoundGroup):
            if tree.operator == "and" and _is_fixed(name, tree.filters):
                return True
        elif isinstance(tree, BoundFilter) and tree.operator in ("equals", "in") and len(tree.values) == 1:
            slot = tree.values[0]
            listed = isinstance(slot, Slot) and slot.kind.startswith("list:")
            if not listed and tree_names(tree) == [name]:
                return True
    return False
