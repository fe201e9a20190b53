"""An engine's answer as a report shows it: numbers as numbers, columns with titles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.query.access import SecurityContext
from engine.run.engine import Engine
from engine.run.result import Result

_ANNOTATIONS = ("measures", "dimensions", "timeDimensions")


@dataclass(frozen=True)
class Table:
    """Rows by member; each column has `name`, `title`, `type`; `total` counts the rows of all pages."""

    columns: list[dict[str, str]]
    rows: list[dict[str, Any]]
    total: int | None


async def load_table(engine: Engine, query: dict[str, Any], context: SecurityContext) -> Table:
    """The rows of one query for this caller."""
    answer = await engine.load(query, context)
    result = answer.results[0]
    columns = [_column(result, column.member, column.type) for column in result.members]
    readers = {column.member: _number if column.type == "number" else None for column in result.members}
    rows = [{name: read(row[name]) if read else row[name] for name, read in readers.items()} for row in result.rows()]
    return Table(columns, rows, result.total)


def _column(result: Result, member: str, kind: str) -> dict[str, str]:
    known: dict[str, Any] = next(
        (result.annotation[part][member] for part in _ANNOTATIONS if member in result.annotation[part]), {}
    )
    return {"name": member, "title": known.get("shortTitle", member), "type": kind}


def _number(value: Any) -> Any:
    """Cube writes numbers as texts; whole ones become integers, the rest floats."""
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)
