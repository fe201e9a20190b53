"""Markers of the model that depend on the question: FILTER_PARAMS, FILTER_GROUP and SECURITY_CONTEXT filled in.

What FILTER_PARAMS says is implied by the query's own filters, so it never loses a row that the answer needs: a
condition on another member counts as true, and so does an `or` with such a branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import AccessDenied, InvalidQuery
from engine.model.arguments import value_number
from engine.query.bound import BoundFilter, BoundGroup, BoundTree
from engine.query.request import Slot, Value
from engine.sql.filters import Predicates
from engine.sql.time import call, first_text, last_text, number

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_TAKE_VALUES = frozenset(
    """
    equals in contains startsWith endsWith gt gte lt lte inDateRange onTheDate beforeDate beforeOrOnDate afterDate
    afterOrOnDate
    """.split()  # noqa: SIM905 - a list of words is easier to read
)
_LAST_MOMENT = ("beforeOrOnDate", "lte", "afterDate", "gt")
"""Operators on time whose one value stands for its last moment."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The expression on which a member's conditions stand; with `count`, it takes that many values itself."""

    tree: exp.Expr
    count: int


def filtered(renderer: Renderer, arguments: Sequence[exp.Expr]) -> exp.Expr:
    """The query's conditions on the members named, on other expressions; `1 = 1` where there are none.

    A window or a time shift reads rows beyond the range asked for: the conditions are those of the part at work.
    """
    places: dict[str, _Place] = {}
    for each in arguments:
        name, tree, count = each.expressions
        places[renderer.catalog.primitive(name.name).full_name] = _Place(tree, int(count.name))
    query, part = renderer.plan.query, renderer.current
    moved = dict(part.scope.shifts) if part is not None else {}
    weaker = _Weaker(renderer, {name: place for name, place in places.items() if name not in moved})
    where = part.where if part is not None else query.where
    found = [weak for each in (*where, *query.mixed, *query.having) if (weak := weaker.tree(each)) is not None]
    return _joined(exp.And, found) if found else exp.EQ(this=number(1), expression=number(1))


class _Weaker:
    """Condition trees weakened to what they say about some members; None is true."""

    def __init__(self, renderer: Renderer, places: Mapping[str, _Place]) -> None:
        self.renderer = renderer
        self.places = places

    def tree(self, node: BoundTree) -> exp.Expr | None:
        """What the tree says about the members."""
        if isinstance(node, BoundGroup):
            return self._group(node)
        place = self.places.get(node.member.full_name) if isinstance(node, BoundFilter) else None
        if (
            place is not None
            and isinstance(node, BoundFilter)
            and node.member.full_name in self.renderer.plan.query.masks
        ):
            return None  # the condition is on the mask
        if place is None or not isinstance(node, BoundFilter):
            return None
        if place.count:
            return self._called(node, place)
        predicates = Predicates(self.renderer.parameters, self.renderer.zone, lambda _: place.tree.copy())
        return predicates.tree(node)

    def _group(self, node: BoundGroup) -> exp.Expr | None:
        parts = [self.tree(each) for each in node.filters]
        if node.operator == "or":
            known = [each for each in parts if each is not None]
            if len(known) < len(parts):
                return None
            return _joined(exp.Or, known) if known else exp.false()
        known = [each for each in parts if each is not None]
        return _joined(exp.And, known) if known else None

    def _called(self, node: BoundFilter, place: _Place) -> exp.Expr | None:
        if node.operator not in _TAKE_VALUES or None in node.values:
            return None
        if place.count == 1 and (len(node.values) > 1 or _is_list(node.values)):
            return self._each(node, place)
        values = node.values * 2 if node.operator == "onTheDate" and len(node.values) == 1 else node.values
        if len(values) < place.count or _is_list(values):
            problem = f"The model wants {place.count} values of '{node.member.full_name}' (a range), not {len(values)}."
            raise InvalidQuery(problem, member=node.member.full_name)
        texts = [self._value(node, value, index) for index, value in enumerate(values)]
        return _filled(place.tree, lambda index: texts[index].copy())

    def _each(self, node: BoundFilter, place: _Place) -> exp.Expr:
        """One value at a time, any of which will do."""
        if not _is_list(node.values):
            values = [self._value(node, value, 0) for value in node.values]
            return _joined(exp.Or, [_filled(place.tree, lambda _, each=each: each.copy()) for each in values])  # type: ignore[misc]
        name = exp.to_identifier("each_value")
        body = _filled(place.tree, lambda _: exp.Column(this=name.copy()))
        values_of = self._value(node, node.values[0], 0)
        return call("arrayExists", exp.Lambda(this=body, expressions=[name]), values_of)

    def _value(self, node: BoundFilter, value: Value, index: int) -> exp.Expr:
        parameters, member = self.renderer.parameters, node.member
        if value is None:
            return exp.null()
        if member.type == "time":
            last = index > 0 or node.operator in _LAST_MOMENT
            return (last_text if last else first_text)(value, self.renderer.zone, parameters)
        if member.type == "number":
            return parameters.number(value, member.full_name)
        if member.type == "boolean":
            return parameters.flag(value, member.full_name)
        return parameters.literal(value, member.full_name) if member.type == "count" else parameters.text(value)


def context(renderer: Renderer, arguments: Sequence[exp.Expr]) -> exp.Expr:
    """A comparison with an attribute of the caller; who lacks it sees nothing."""
    name, how = arguments[0].name, arguments[1].name
    slot = renderer.plan.query.attributes.get(name)
    if slot is None:
        if how != "filter":
            raise AccessDenied(f"You have no '{name}', which the model needs to know.")
        return exp.Boolean(this=False)
    value = renderer.parameters.text(slot)
    if len(arguments) < 4:
        return value
    inner, count = exp.Paren(this=arguments[2]), int(arguments[3].name)
    if count:
        return _filled(inner, lambda _: value.copy())
    return exp.In(this=inner, field=value) if _is_list([slot]) else exp.EQ(this=inner, expression=value)


def _filled(tree: exp.Expr, value: Callable[[int], exp.Expr]) -> exp.Expr:
    """A copy of the tree with the values in their places."""
    root = exp.Paren(this=tree.copy())
    for column in list(root.find_all(exp.Column)):
        index = value_number(column.name) if not column.table else None
        if index is not None:
            column.replace(value(index))
    return root


def _is_list(values: Sequence[Value]) -> bool:
    return any(isinstance(value, Slot) and value.kind.startswith("list:") for value in values)


def _joined(kind: type[exp.Connector], found: Sequence[exp.Expr]) -> exp.Expr:
    result = found[0]
    for each in found[1:]:
        result = kind(this=result, expression=each)
    return exp.Paren(this=result)
