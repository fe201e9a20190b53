"""Bounds of a time → its date range, where both are given: `at >= '2024-01-01' AND at < '2024-02-01'` is January.

A range ends with a whole millisecond, so `< b` is «up to the one before b»: the same moments, unless the clock shows b
twice (the hour that comes back in autumn). Then the bounds stay two filters, and both stay what they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlglot import exp

from engine.query.dates import format_time
from engine.sqlapi.conditions import Filter, Leaf

_FIRST = "afterOrOnDate"
_LAST = ("beforeDate", "beforeOrOnDate")
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Range:
    """The first and the last millisecond of a time, and where its first bound stands."""

    first: str
    last: str
    node: exp.Expr


def ranges(filters: Iterable[Filter], zone: str) -> tuple[dict[str, Range], list[Filter]]:
    """The ranges of the times that have just one bound on each side, and the filters that are left."""
    kept = list(filters)
    bounds: dict[str, list[Leaf]] = defaultdict(list)
    for each in kept:
        if isinstance(each, Leaf) and each.operator in (_FIRST, *_LAST, "afterDate"):
            bounds[each.member].append(each)
    found: dict[str, Range] = {}
    for member, leaves in bounds.items():
        made = _range(leaves, zone)
        if made is not None:
            found[member] = made
            kept = [each for each in kept if each not in leaves]
    return found, kept


def _range(leaves: list[Leaf], zone: str) -> Range | None:
    first = [each for each in leaves if each.operator == _FIRST]
    last = [each for each in leaves if each.operator in _LAST]
    if len(leaves) != 2 or len(first) != 1 or len(last) != 1:
        return None
    end = last[0].values[0]
    if last[0].operator == "beforeDate":
        if _comes_twice(end, zone):
            return None
        try:
            end = format_time(datetime.fromisoformat(end) - _TICK)
        except OverflowError:
            return None
    start = first[0].values[0]
    return Range(start, end, first[0].node) if start <= end else None


def _comes_twice(text: str, zone: str) -> bool:
    """Whether the clock shows the time twice, or just after it skipped an hour."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    try:
        return moment.utcoffset() != moment.replace(fold=1).utcoffset()
    except OverflowError:
        return True
