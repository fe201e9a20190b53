"""What the caller sees of a masked dimension: its own value in some rows, elsewhere the mask."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.model.catalog import Dimension, Mask
from engine.model.columns import type_of
from engine.model.markers import as_operand
from engine.query.access import NOTHING
from engine.sql.filters import Predicates
from engine.sql.time import call

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_TYPES = {"number": "Nullable(Float64)", "boolean": "Nullable(Bool)", "time": "Nullable(DateTime64(3, 'UTC'))"}


def masked(renderer: Renderer, name: str, tree: exp.Expr) -> exp.Expr:
    """The dimension's SQL as the caller sees it; where a join found no row, there is nothing to mask."""
    rows = renderer.plan.query.masks.get(name)
    if rows is None:
        return as_operand(tree)
    dimension = renderer.catalog.primitive(name)
    mask = dimension.mask if isinstance(dimension, Dimension) else None
    kind = dimension.type if isinstance(dimension, Dimension) else "string"
    instead = _present(renderer, name, _mask(renderer, name, mask, kind))
    if rows == NOTHING:
        return _typed(instead, kind)
    value = call("toString", tree) if kind == "string" and mask is not None and mask.value is not None else tree
    own = exp.If(this=shown(renderer, name), true=value)
    return exp.Paren(this=exp.Case(ifs=[own], default=instead))


def _present(renderer: Renderer, name: str, mask: exp.Expr) -> exp.Expr:
    """The mask, NULL for a row that a LEFT JOIN made up."""
    cube, part = renderer.catalog.cubes[name.partition(".")[0]], renderer.current
    if isinstance(mask, exp.Null) or not cube.primary_key or (part is not None and part.tree.root == cube.name):
        return mask
    absent = exp.Is(this=renderer.own(cube.primary_key[0].full_name), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=exp.Not(this=absent), true=mask)])


def shown(renderer: Renderer, name: str) -> exp.Expr:
    """Whether a row shows the member's own value."""
    predicates = Predicates(
        renderer.parameters, renderer.zone, renderer.sources.own_value, kinds=partial(type_of, renderer.catalog)
    )
    return predicates.tree(renderer.plan.query.masks.get(name, NOTHING))


def _mask(renderer: Renderer, name: str, mask: Mask | None, kind: str) -> exp.Expr:
    if mask is None:
        return exp.null()
    if mask.sql is not None:
        return as_operand(renderer.sources.own(f"{name}#mask"))
    if kind == "time":
        zone = exp.Literal.string("UTC")
        moment = exp.Literal.string(str(mask.value))
        return call("parseDateTime64BestEffortOrNull", moment, exp.Literal.number(3), zone)
    return literal(mask)


def literal(mask: Mask | None) -> exp.Expr:
    """The value of a mask."""
    value = mask.value if mask is not None else None
    if value is None:
        return exp.null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def _typed(tree: exp.Expr, kind: str) -> exp.Expr:
    """A constant of the member's type; a bare number in GROUP BY would be a column's place."""
    type_name = _TYPES.get(kind, "Nullable(String)")
    return exp.Cast(this=tree, to=exp.DataType.build(type_name, dialect="clickhouse"))
