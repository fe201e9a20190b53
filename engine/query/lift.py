"""A query reduced to its shape: literals taken out into a list, so that one plan serves every query of that shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.query.access import SecurityContext
from engine.query.request import Filter, FilterGroup, FilterTree, Query, Slot, TimeDimension, Value

_INTEGER = re.compile(r"-?\d{1,76}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?")
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ONE_BY_ONE = frozenset(
    """
    contains notContains startsWith notStartsWith endsWith notEndsWith gt gte lt lte inDateRange notInDateRange
    onTheDate beforeDate beforeOrOnDate afterDate afterOrOnDate
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a plan depends on: the query with slots for literals, the caller's groups and which attributes he has."""

    query: Query
    groups: frozenset[str]
    attributes: tuple[tuple[str, Slot | None], ...]


@dataclass(slots=True)
class Lifted:
    """A shape and the literals that fill its slots."""

    shape: Shape
    values: list[Any]


def lift(query: Query, context: SecurityContext) -> Lifted:
    """Take the literals out of the query and the caller's attributes."""
    values: list[Any] = []
    # The caller's come first: their places are then the same in all his questions.
    attributes = tuple(sorted(_attributes(context.attributes, values), key=lambda pair: pair[0]))
    shaped = Query(
        query.measures,
        query.dimensions,
        _time_dimensions(query.time_dimensions, values),
        tuple([_tree(each, values) for each in query.filters]),
        query.segments,
        query.order,
        None if query.limit is None else 1,
        None if query.offset is None else 1,
        query.total,
        query.timezone,
        query.ungrouped,
        query.response_format,
        query.join_hints,
    )
    return Lifted(Shape(shaped, context.groups, attributes), values)


def kind_of(value: Any) -> str:
    """How a literal reads: `int`, `uint`, `huge` (over 64 bits), `float`, `bool`, `date` or `text`."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _INTEGER.fullmatch(text):
        number = int(text)
        return "int" if -(2**63) <= number < 2**63 else "uint" if 0 <= number < 2**64 else "huge"
    if _DECIMAL.fullmatch(text):
        return "float"
    if _DATE.fullmatch(text):
        return "date"
    return "bool" if text in ("true", "false") else "text"


def kind_of_list(values: list[Any]) -> str:
    """The kind that all the values have in common."""
    if set(map(type, values)) == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return "int"
    kinds = {kind_of(value) for value in values}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"int", "uint", "huge"}:
        return "huge"
    return "float" if kinds <= {"int", "uint", "huge", "float"} else "text"


def _slot(value: Any, kind: str, values: list[Any]) -> Slot:
    values.append(value)
    return Slot(len(values) - 1, kind)


def _time_dimensions(times: tuple[TimeDimension, ...], values: list[Any]) -> tuple[TimeDimension, ...]:
    """Ranges become slots; one range of one time dimension, given twice, is one condition."""
    known: dict[tuple[str, Any], tuple[Slot, Slot]] = {}
    found = []
    for each in times:
        if each.date_range is not None:
            first, last = each.date_range
            slots = known.get((each.dimension, (first, last)))
            if slots is None:
                slots = known[each.dimension, (first, last)] = _slot(first, "date", values), _slot(last, "date", values)
            each = replace(each, date_range=slots)
        found.append(each)
    return tuple(found)


def _tree(node: FilterTree, values: list[Any]) -> FilterTree:
    if isinstance(node, FilterGroup):
        return FilterGroup(node.operator, tuple(_tree(each, values) for each in node.filters))
    texts = [value for value in node.values if value is not None]
    null: tuple[Value, ...] = (None,) if len(texts) < len(node.values) else ()
    if not texts:
        return replace(node, values=null)
    kind = "" if len(texts) == 1 or node.operator in _ONE_BY_ONE else kind_of_list(texts)
    slots: tuple[Value, ...]
    if kind in ("", "date") or (kind == "float" and _inexact(texts)):
        slots = tuple(_slot(text, kind_of(text), values) for text in texts)
    else:
        slots = (_slot(texts, "list:" + kind, values),)
    return Filter(node.member, node.operator, slots + null)


def _inexact(texts: list[Any]) -> bool:
    """Whether a whole number among fractions is beyond what a float holds exactly."""
    return any(kind_of(text) != "float" and abs(int(text)) > 2**53 for text in texts)


def _attributes(attributes: Mapping[str, Any], values: list[Any], prefix: str = "") -> list[tuple[str, Slot | None]]:
    found: list[tuple[str, Slot | None]] = []
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            found += _attributes(value, values, f"{prefix}{name}.")
        elif isinstance(value, list | tuple | set | frozenset):
            items = [each for each in value if each is not None]
            found.append((prefix + name, _list_slot(items, values) if items else None))
        elif value is None or value == "":
            found.append((prefix + name, None))
        else:
            kind = "bool:false" if value is False else kind_of(value)
            found.append((prefix + name, _slot(_text(value), kind, values)))
    return found


def _list_slot(items: list[Any], values: list[Any]) -> Slot:
    kind = kind_of_list(items)
    return _slot(list(map(str if kind == "int" else _text, items)), "list:" + kind, values)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
