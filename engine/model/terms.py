"""The small parts of a model: places in files, SQL texts, granularities, what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlglot import exp

from engine.model.arguments import Argument

PREDEFINED = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
"""The granularities that every time dimension has."""


@dataclass(frozen=True, slots=True)
class Source:
    """The place in a model file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Reference:
    """One `{…}` of a SQL text: the cubes it goes through and the member at its end (None for a cube itself).

    A call has its name as `member` and its `argument`; a FILTER_GROUP has `parts`.
    """

    kind: Literal["cube", "member", "sql", "filter_params", "filter_group", "security_context", "utils"]
    path: tuple[str, ...]
    member: str | None = None
    argument: Argument | None = None
    parts: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sql:
    """A SQL text of the model, parsed once; reference number n stands in `tree` as the identifier `__ref<n>__`."""

    text: str
    tree: exp.Expr
    references: tuple[Reference, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Interval:
    """Months and a fixed length in milliseconds; one of them may be 0."""

    months: int = 0
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Granularity:
    """A bucket size of a time dimension: every `interval` from `origin` (local wall time, ISO) on."""

    name: str
    title: str
    interval_text: str | None
    interval: Interval | None
    origin: str | None
    offset: str | None
    source: Source
    sql: Sql | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What `/meta` tells of a named thing."""

    title: str
    short_title: str
    description: str | None = None
    public: bool = True
    meta: Any = None
    format: Any = None
    currency: str | None = None
