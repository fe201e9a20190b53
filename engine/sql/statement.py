"""The result of compiling a query: SQL with bound parameters, and what its columns mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the answer. `member` is the name asked for (`orders.status`, `orders.created_at.day`).

    `type` is the member's: number, string, time, boolean, geo. Times come as texts `YYYY-MM-DDTHH:mm:ss.SSS`,
    local to the query's time zone; everything else as ClickHouse gives it.
    """

    member: str
    kind: Literal["measure", "dimension", "time_dimension"]
    type: str
    alias: str
    granularity: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL for ClickHouse with `{p0:String}` parameters; `settings` must be sent along, `total` counts all rows.

    `policy` tells apart callers with different rights; it belongs in every cache key.
    """

    sql: str
    parameters: Mapping[str, Any]
    columns: tuple[Column, ...]
    settings: Mapping[str, Any]
    total: str | None = None
    cubes: tuple[str, ...] = ()
    policy: str = ""
