"""Aggregates."""

from __future__ import annotations

from typing import Any


def folded(kind: str, values: list[Any]) -> Any:
    """The aggregate of the values that are not NULL."""
    if kind == "count":
        return len(values)
    if kind == "count_distinct":
        return len(set(values))
    if not values:
        return None
    if kind in ("min", "max"):
        return min(values) if kind == "min" else max(values)
    return sum(values) if kind == "sum" else float(sum(values)) / len(values)
