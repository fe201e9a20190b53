"""A question → SQL → an answer.

model    YAML → frozen Catalog
sqlapi   a SQL text over cubes → the JSON of a question
query    JSON → normalised → lifted (literals out) → bound (members, rights)
plan     bound → logical plan (which rows, which grain, which joins, which windows and stages)
sql      plan → ClickHouse SQL: rendered, verified, written
run      SQL → rows
"""

from __future__ import annotations

from engine.compiler import STEPS, compile_query, explain_query
from engine.model import Catalog, load_catalog
from engine.query.access import SecurityContext
from engine.query.request import Query
from engine.sql.statement import Column, Statement

__all__ = [
    "STEPS",
    "Catalog",
    "Column",
    "Query",
    "SecurityContext",
    "Statement",
    "compile_query",
    "explain_query",
    "load_catalog",
]
