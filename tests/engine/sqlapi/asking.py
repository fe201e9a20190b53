"""A SQL text asked of a catalog over a real ClickHouse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.sqlapi import translate
from tests.engine.asking import query_of, run

Rows = list[list[Any]]


def ask_sql(
    warehouse: Warehouse, catalog: Catalog, text: str, context: SecurityContext | None = None, timezone: str = "UTC"
) -> Rows:
    """The rows that the SQL shows, in its columns."""
    context = context or SecurityContext()
    translation = translate(text, catalog, context, timezone)
    query = query_of(translation.payload)
    if "limit" not in translation.payload:
        query = replace(query, limit=None)
    statement = compile_query(catalog, query, context)
    found = run(warehouse, statement) if query.limit != 0 else []
    return [[row[each.term.column] for each in translation.shown] for row in found]
