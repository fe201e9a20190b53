"""A question: which measures, by which dimensions, of which rows, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

DateRange = tuple[str, str]
"""Both ends inclusive, `YYYY-MM-DDTHH:mm:ss.SSS`, local to the query's time zone."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a literal stood before the query was reduced to its shape; `kind` says how its text reads."""

    index: int
    kind: str


Value = str | None | Slot


@dataclass(frozen=True, slots=True)
class TimeDimension:
    """A time dimension: with a granularity it groups, with a date range it filters, with both it does both."""

    dimension: str
    granularity: str | None = None
    date_range: DateRange | tuple[Slot, Slot] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; `values` are texts or None, dates in them are resolved to the form of `DateRange`."""

    member: str
    operator: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """Conditions of which all (`and`) or one (`or`) must hold."""

    operator: Literal["and", "or"]
    filters: tuple[Filter | FilterGroup, ...] = ()


FilterTree = Filter | FilterGroup


@dataclass(frozen=True, slots=True)
class Order:
    """Sort by a member (a time dimension may carry its granularity: `cube.time.day`)."""

    member: str
    desc: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A normalised question; `filters` all hold. `order` None means the default order, () means none.

    Each of `join_hints` is a chain of cubes by whose joins members of these cubes are reached.
    """

    measures: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    time_dimensions: tuple[TimeDimension, ...] = ()
    filters: tuple[FilterTree, ...] = ()
    segments: tuple[str, ...] = ()
    order: tuple[Order, ...] | None = None
    limit: int | None = None
    offset: int | None = None
    total: bool = False
    timezone: str = "UTC"
    ungrouped: bool = False
    response_format: str = "default"
    join_hints: tuple[tuple[str, ...], ...] = ()


def leaves(filters: tuple[FilterTree, ...]) -> Iterator[Filter]:
    """Every single condition of a filter tree, from left to right."""
    for node in filters:
        if isinstance(node, FilterGroup):
            yield from leaves(node.filters)
        else:
            yield node
