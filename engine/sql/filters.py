"""Conditions: Cube's filter operators as ClickHouse predicates over bound values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlglot import exp

from core.errors import InvalidQuery
from engine.model.catalog import ColumnType, Dimension, Measure
from engine.model.terms import Interval
from engine.query.bound import BoundFilter, BoundGroup, BoundSegment, BoundTree
from engine.query.request import Slot, Value
from engine.sql.exact import bounds, equals
from engine.sql.parameters import Parameters, reading
from engine.sql.time import UNMOVED, call, first_moment, moment_after, parse_local

Resolve = Callable[[BoundFilter | BoundSegment], exp.Expr]
Moves = Callable[[BoundFilter], Interval]
Kinds = Callable[[exp.Expr], ColumnType | None]
_LIKE = {
    "contains": ("%", "%"),
    "startsWith": ("", "%"),
    "endsWith": ("%", ""),
}
_NUMBERS = frozenset(
    {"number", "count", "count_distinct", "count_distinct_approx", "sum", "avg", "rank", "number_agg", "running_total"}
)
_COMPARE: dict[str, type[exp.Binary]] = {"gt": exp.GT, "gte": exp.GTE, "lt": exp.LT, "lte": exp.LTE}


class Predicates:
    """Renders condition trees; `resolve` gives the expression of a member, `zone` the clock of time literals.

    `moves` tells by what a time shift moves a member: its column is compared with literals moved back; `kinds`, of
    which type a column is.
    """

    def __init__(
        self,
        parameters: Parameters,
        zone: str,
        resolve: Resolve,
        moves: Moves | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.parameters = parameters
        self.zone = zone
        self.resolve = resolve
        self.moves = moves
        self.kinds = kinds
        self.moved = UNMOVED

    def tree(self, node: BoundTree) -> exp.Expr:
        """The predicate of a tree; groups in parentheses."""
        if isinstance(node, BoundGroup):
            return self._group(node)
        if isinstance(node, BoundSegment):
            return exp.Paren(this=self.resolve(node))
        return self._leaf(node)

    def _group(self, node: BoundGroup) -> exp.Expr:
        if not node.filters:
            return exp.Boolean(this=node.operator == "and")
        result = self.tree(node.filters[0])
        kind = exp.And if node.operator == "and" else exp.Or
        for each in node.filters[1:]:
            result = kind(this=result, expression=self.tree(each))
        return exp.Paren(this=result) if len(node.filters) > 1 else result

    def _leaf(self, node: BoundFilter) -> exp.Expr:
        if self.moves is not None:
            self.moved = self.moves(node)
        column = self.resolve(node)
        if not isinstance(column, exp.Column | exp.Anonymous | exp.Paren | exp.Placeholder):
            column = exp.Paren(this=column)
        operator = node.operator
        if operator in ("set", "notSet"):
            return _is_null(column) if operator == "notSet" else exp.Not(this=_is_null(column))
        if operator in ("equals", "in"):
            return self._equals(node, column)
        if operator in ("notEquals", "notIn"):
            return self._not_equals(node, column)
        if operator in _COMPARE:
            return self._compare(node, column)
        if operator in _DATES:
            _check_timely(node)
            return _DATES[operator](self, node, column)
        return self._like(node, column)

    def _equals(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        found = [self._one_of(node, column)] if _literals(node) else []
        if None in node.values:
            found.append(_is_null(column.copy()))
        return _any(found)

    def _not_equals(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        if not _literals(node):
            return exp.Not(this=_is_null(column))
        same = self._one_of(node, column)
        different: exp.Expr
        if isinstance(same, exp.EQ):
            different = exp.NEQ(this=same.this, expression=same.expression)
        else:
            different = exp.Not(this=same if isinstance(same, exp.In) else exp.Paren(this=same))
        return different if None in node.values else _any([different, _is_null(column.copy())])

    def _one_of(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        if _is_time(node):
            return _any([self._moment(value, column.copy()) for value in _literals(node)])
        held = self._held(node, column)
        if held is not None:
            return held
        values = [self._literal(node, value) for value in _literals(node)]
        if len(values) > 1:
            return exp.In(this=column, expressions=values)
        only = _literals(node)[0]
        if isinstance(only, Slot) and only.kind.startswith("list:"):
            return exp.In(this=column, field=values[0])
        return exp.EQ(this=column, expression=values[0])

    def _held(self, node: BoundFilter, column: exp.Expr) -> exp.Expr | None:
        """One of the literals, as far as the column's type can hold them; None where there is nothing to mind."""
        kind, found = self._kind(column), []
        for value in _literals(node):
            held = equals(kind, node.member.type, _single(value))
            if held is None:
                return None
            found.append(exp.In(this=column.copy(), field=self.parameters.add(value, *held)))
        return _any(list(found))

    def _kind(self, column: exp.Expr) -> ColumnType | None:
        return self.kinds(column) if self.kinds is not None else None

    def _moment(self, value: Slot | str, column: exp.Expr) -> exp.Expr:
        return exp.Paren(this=self._between(value, value, column))

    def _compare(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        values = _literals(node)
        if not values:
            raise InvalidQuery("Expected one parameter but nothing found")
        if _is_time(node):
            moment = moment_after if node.operator in ("gt", "lte") else first_moment
            kind = exp.GTE if node.operator in ("gt", "gte") else exp.LT
            return kind(this=column, expression=moment(values[0], self.zone, self.parameters, self.moved))
        type_ = self._kind(column)
        held = bounds(type_, node.member.type, _single(values[0]), node.operator, node.member.full_name)
        if held is not None:
            return _COMPARE[node.operator](this=column, expression=self.parameters.add(values[0], *held))
        if type_ is not None and type_.name.startswith("Enum") and node.member.type == "string":
            column = call("toString", column)
        return _COMPARE[node.operator](this=column, expression=self._literal(node, values[0]))

    def _literal(self, node: BoundFilter, value: Slot | str) -> exp.Expr:
        member = node.member
        if isinstance(member, Measure) and member.type in ("min", "max"):
            return self.parameters.literal(value, member.full_name)
        if member.type in _NUMBERS:
            return self.parameters.number(value, member.full_name)
        if member.type == "boolean":
            return self.parameters.flag(value, member.full_name)
        return self.parameters.text(value)

    def _like(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        negative = node.operator.startswith("not")
        name = node.operator[3].lower() + node.operator[4:] if negative else node.operator
        before, after = _LIKE[name]
        text = call("toString", column)
        found: list[exp.Expr] = []
        for value in _literals(node):
            pattern = self.parameters.add(value, "String", partial(_pattern, before, after))
            like: exp.Expr = exp.ILike(this=text.copy(), expression=pattern)
            found.append(exp.Not(this=like) if negative else like)
        null = _is_null(column.copy())
        if not found:
            return exp.Not(this=null) if negative else null
        if negative:
            every = _all(found)
            return every if None in node.values else _any([every, null])
        return _any([*found, null] if None in node.values else found)

    def _between(self, first: Slot | str, last: Slot | str, column: exp.Expr) -> exp.Expr:
        start = exp.GTE(this=column, expression=first_moment(first, self.zone, self.parameters, self.moved))
        end = exp.LT(this=column.copy(), expression=moment_after(last, self.zone, self.parameters, self.moved))
        return exp.And(this=start, expression=end)

    def in_range(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """Both ends belong to the range; the column stays bare, so that keys and partitions prune."""
        return exp.Paren(this=self._between(_first(node), _last(node), column))

    def not_in_range(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """Before the first moment or after the last one."""
        before = exp.LT(this=column, expression=first_moment(_first(node), self.zone, self.parameters, self.moved))
        after = exp.GTE(
            this=column.copy(), expression=moment_after(_last(node), self.zone, self.parameters, self.moved)
        )
        return _any([before, after])

    def before(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """`beforeDate`."""
        return exp.LT(this=column, expression=first_moment(_first(node), self.zone, self.parameters, self.moved))

    def not_after(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """`beforeOrOnDate`: up to the end of what is named."""
        return exp.LT(this=column, expression=moment_after(_last(node), self.zone, self.parameters, self.moved))

    def after(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """`afterDate`: from the end of what is named."""
        return exp.GTE(this=column, expression=moment_after(_last(node), self.zone, self.parameters, self.moved))

    def not_before(self, node: BoundFilter, column: exp.Expr) -> exp.Expr:
        """`afterOrOnDate`."""
        return exp.GTE(this=column, expression=first_moment(_first(node), self.zone, self.parameters, self.moved))


def _check_timely(node: BoundFilter) -> None:
    kind = "number" if node.member.type in _NUMBERS else node.member.type
    if kind in ("number", "boolean"):
        name = node.member.full_name
        raise InvalidQuery(f"'{name}' is a {kind}; '{node.operator}' compares times.", member=name)


_DATES: dict[str, Callable[[Predicates, BoundFilter, exp.Expr], exp.Expr]] = {
    "inDateRange": Predicates.in_range,
    "onTheDate": Predicates.in_range,
    "notInDateRange": Predicates.not_in_range,
    "beforeDate": Predicates.before,
    "beforeOrOnDate": Predicates.not_after,
    "afterDate": Predicates.after,
    "afterOrOnDate": Predicates.not_before,
}


def _single(value: Slot | str) -> str:
    return reading(value).removeprefix("list:")


def _literals(node: BoundFilter) -> list[Slot | str]:
    return [value for value in node.values if value is not None]


def _is_time(node: BoundFilter) -> bool:
    return isinstance(node.member, Dimension | Measure) and node.member.type == "time"


def _first(node: BoundFilter) -> Slot | str:
    values = _literals(node)
    if not values:
        raise InvalidQuery("Expected one parameter but nothing found")
    _need_date(values[0])
    return values[0]


def _last(node: BoundFilter) -> Slot | str:
    values = _literals(node)
    if not values:
        raise InvalidQuery("Expected one parameter but nothing found")
    return values[1] if len(values) > 1 else values[0]


def _need_date(value: Value) -> None:
    if isinstance(value, str):
        parse_local(value)


def _pattern(before: str, after: str, value: str) -> str:
    escaped = str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{before}{escaped}{after}"


def _is_null(column: exp.Expr) -> exp.Expr:
    return exp.Is(this=column, expression=exp.Null())


def _any(found: list[exp.Expr]) -> exp.Expr:
    return _joined(exp.Or, found)


def _all(found: list[exp.Expr]) -> exp.Expr:
    return _joined(exp.And, found)


def _joined(kind: type[exp.Connector], found: list[exp.Expr]) -> exp.Expr:
    result = found[0]
    for each in found[1:]:
        result = kind(this=result, expression=each)
    return exp.Paren(this=result) if len(found) > 1 else result


__all__ = ["Predicates", "Resolve", "Value"]
