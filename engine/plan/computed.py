"""Dimensions whose value comes from a query of its own: sub-queries and stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.errors import Unanswerable
from engine.model.catalog import Dimension
from engine.model.stages import Stage
from engine.plan.grain import inner_question, more_dimensions
from engine.plan.nodes import Plan, SubQuery
from engine.plan.parts import need_key
from engine.query.bound import BoundDimension, BoundQuery, BoundTree, tree_names

ValuePlan = Callable[[BoundQuery, Dimension], Plan]
"""The plan that gives, for an inner question, the value of a dimension as the formula `value`."""


def computed_dimension(bound: BoundQuery, name: str, value_plan: ValuePlan) -> SubQuery:
    """The value of a sub-query or multi-stage dimension for each row of its cube."""
    owner, _, own_name = name.partition(".")
    dimension = bound.catalog.cubes[owner].dimensions[own_name]
    if dimension.stage is not None:
        return _of_stage(bound, dimension, dimension.stage, value_plan)
    need_key(bound.catalog, owner)
    primary = bound.catalog.cubes[owner].primary_key
    keys = tuple(BoundDimension(key.full_name, (owner,), key, raw=True) for key in primary)
    plain = (tree for tree in bound.where if not _built_on(bound, tree))
    inner = _inner(bound, keys, tuple(plain) if dimension.propagate_filters else ())
    return _joined(dimension, keys, value_plan(inner, dimension), exact=True)


def _of_stage(bound: BoundQuery, dimension: Dimension, stage: Stage, value_plan: ValuePlan) -> SubQuery:
    """A dimension made of measures: computed for each group of the dimensions that it adds."""
    found = more_dimensions(bound, stage, (dimension.cube,), ())
    keys = tuple(replace(each, raw=True) for each in found)
    if not keys:
        raise Unanswerable(f"'{dimension.full_name}' needs add_group_by: the dimensions that it is computed for.")
    where = tuple(tree for tree in bound.where if dimension.full_name not in _built_on(bound, tree))
    return _joined(dimension, keys, value_plan(_inner(bound, keys, where), dimension), exact=False)


def _built_on(bound: BoundQuery, tree: BoundTree) -> set[str]:
    """The sub-query dimensions in a condition: it cannot hold within one of them, which it would need first."""
    return {sub for name in tree_names(tree) for sub in bound.catalog.expanded[name].sub_queries}


def _inner(bound: BoundQuery, keys: tuple[BoundDimension, ...], where: tuple[BoundTree, ...]) -> BoundQuery:
    """The question by the keys; its time is that of the outer one where its range holds inside too.

    What view policies require holds inside as well, and stands where the value is read.
    """
    time = bound.time if bound.time is not None and bound.time.range in where else None
    return replace(inner_question(bound, keys), where=where, time=time, through=())


def _joined(dimension: Dimension, keys: tuple[BoundDimension, ...], plan: Plan, *, exact: bool) -> SubQuery:
    names = tuple(key.dimension.full_name for key in keys)
    return SubQuery(dimension.cube, dimension.full_name, names, plan, exact)
