"""The checked tree of a statement as text: generated once, last of all, for the generator may change the tree."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from engine.plan.nodes import Plan
from engine.sql.parameters import Recipe
from engine.sql.render import Rendered
from engine.sql.series import Span
from engine.sql.statement import Column

_CLICKHOUSE = Dialect.get_or_raise("clickhouse")


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The SQL of one shape of question; its literals are still to be filled in."""

    plan: Plan
    sql: str
    total: str | None
    recipes: tuple[Recipe, ...]
    columns: tuple[Column, ...]
    cubes: tuple[str, ...]
    checks: tuple[Span, ...]


def write(rendered: Rendered) -> Written:
    """The text of a verified statement, and of the one that counts its rows."""
    total = _counted(rendered.tree) if rendered.plan.query.total else None
    return Written(
        rendered.plan,
        _CLICKHOUSE.generate(rendered.tree, copy=False),
        _CLICKHOUSE.generate(total, copy=False) if total is not None else None,
        rendered.recipes,
        rendered.columns,
        rendered.cubes,
        rendered.checks,
    )


def _counted(tree: exp.Select) -> exp.Select:
    """`SELECT count(*) AS total FROM (the statement, neither sorted nor cut)`."""
    bare = tree.copy()
    for key in ("order", "limit", "offset"):
        bare.set(key, None)
    counted = exp.select(exp.alias_(exp.Count(this=exp.Star()), "total", copy=False), copy=False)
    return counted.from_(exp.Subquery(this=bare), copy=False)
