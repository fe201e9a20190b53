"""Ask a compiled question of a real ClickHouse: rows as dicts by member, values as a person would compare them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, Statement, compile_query
from engine.query.normalisation import normalize

NOW = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)
Row = dict[str, Any]


def query_of(payload: dict[str, Any]) -> Query:
    """The one normalised query of a request body."""
    return normalize(payload, now=NOW, default_time_zone="UTC").queries[0]


def ask(
    warehouse: Warehouse, catalog: Catalog, query: Query | dict[str, Any], context: SecurityContext | None = None
) -> list[Row]:
    """The rows of the answer."""
    asked = query_of(query) if isinstance(query, dict) else query
    return run(warehouse, compile_query(catalog, asked, context or SecurityContext()))


def run(warehouse: Warehouse, statement: Statement) -> list[Row]:
    """The rows of a statement."""
    result = warehouse.call(
        lambda client: client.query(
            statement.sql, parameters=dict(statement.parameters), settings=dict(statement.settings)
        )
    )
    members = [column.member for column in statement.columns]
    return [dict(zip(members, map(comparable, row), strict=True)) for row in result.result_rows]


def total(warehouse: Warehouse, statement: Statement) -> int:
    """How many rows there are without limit and offset."""
    assert statement.total is not None
    bound = {name: value for name, value in statement.parameters.items() if name not in ("limit", "offset")}
    result = warehouse.call(
        lambda client: client.query(statement.total, parameters=bound, settings=dict(statement.settings))
    )
    return int(result.result_rows[0][0])


def command(warehouse: Warehouse, text: str) -> None:
    """Run one statement."""
    warehouse.call(lambda client: client.command(text))


def script(warehouse: Warehouse, text: str) -> None:
    """Run statements that end with `;` and a line break."""
    for statement in text.split(";\n"):
        if statement.strip():
            command(warehouse, statement)


def insert(warehouse: Warehouse, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows."""
    warehouse.call(lambda client: client.insert(table, rows, column_names=list(columns)))


def comparable(value: Any) -> Any:
    """Numbers as floats (ids beyond 2^53 stay whole), dates as texts, not-a-number as None."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) > 2**53 else float(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return None if math.isnan(value) or math.isinf(value) else value
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00.000"
    return str(value) if not isinstance(value, str | list | tuple) else value


def same(left: Any, right: Any) -> bool:
    """Equal, numbers to 1e-6."""
    if isinstance(left, float | int) and isinstance(right, float | int) and not isinstance(left, bool):
        return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)
    return bool(left == right)


def same_rows(left: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]], *, ordered: bool) -> bool:
    """Equal rows, in the same order or in any."""
    if len(left) != len(right):
        return False
    if not ordered:
        left, right = sorted(left, key=_key), sorted(right, key=_key)
    return all(
        len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
        for one, two in zip(left, right, strict=True)
    )


def _key(row: Sequence[Any]) -> list[tuple[int, str]]:
    return [
        (0, "") if value is None else (1, f"{round(value, 5):030.5f}") if isinstance(value, float) else (2, str(value))
        for value in row
    ]
