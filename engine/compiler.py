"""The pipeline from a normalised query to a statement, each step a pure function; plans are kept by query shape."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from engine.explain import explain
from engine.model.catalog import Catalog
from engine.model.kept import Kept
from engine.plan.builder import build
from engine.plan.rollups.matching import Match, match_rollups
from engine.query.access import SecurityContext
from engine.query.bind import bind
from engine.query.lift import Lifted, Shape, lift
from engine.query.request import Query
from engine.sql.render import SETTINGS, render
from engine.sql.statement import Statement
from engine.sql.text import Written, write
from engine.sql.verify import verify

STEPS: tuple[Callable[..., Any], ...] = (lift, bind, build, render, verify, write)
"""query → (shape, values) → bound query → plan → SQL tree with slots → checked tree → text."""
_shapes: Kept[Shape, Written] = Kept(2000)


def compile_query(catalog: Catalog, query: Query, context: SecurityContext) -> Statement:
    """The SQL that answers `query` for this caller; QueryError or AccessDenied if it cannot be answered."""
    lifted = lift(query, context)
    return _filled(_written(catalog, lifted.shape), lifted, query)


def explain_query(catalog: Catalog, query: Query, context: SecurityContext) -> str:
    """The plan of `query` in words."""
    return explain(_written(catalog, lift(query, context).shape).plan)


def match_query(catalog: Catalog, query: Query, context: SecurityContext) -> tuple[Match, ...]:
    """Which rollups of the model could serve `query`, and why the others cannot."""
    if not any(cube.rollups for cube in catalog.cubes.values()):
        return ()
    lifted = lift(query, context)
    return match_rollups(bind(catalog, lifted.shape), lifted.values)


def _written(catalog: Catalog, shape: Shape) -> Written:
    return _shapes.get(catalog, shape, lambda: write(verify(render(build(bind(catalog, shape))))))


def _filled(written: Written, lifted: Lifted, query: Query) -> Statement:
    for check in written.checks:
        check.check(lifted.values)
    parameters: dict[str, Any] = {recipe.name: recipe.fill(lifted.values) for recipe in written.recipes}
    if query.limit is not None:
        parameters["limit"] = query.limit
    if query.offset is not None:
        parameters["offset"] = query.offset
    return Statement(
        sql=written.sql,
        parameters=parameters,
        columns=written.columns,
        settings=SETTINGS,
        total=written.total,
        cubes=written.cubes,
        policy=_policy(lifted),
    )


def _policy(lifted: Lifted) -> str:
    """A digest of the caller's groups and attributes."""
    shape = lifted.shape
    attributes = [(name, None if slot is None else lifted.values[slot.index]) for name, slot in shape.attributes]
    text = repr((sorted(shape.groups), attributes))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
