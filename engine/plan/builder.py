"""Bound query → logical plan: every fact aggregated on its own at the grain asked for, never multiplied by a join."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from sqlglot import exp

from core.errors import NoJoinPath, Unanswerable
from engine.model.catalog import Catalog, Dimension, Measure
from engine.plan.computed import computed_dimension
from engine.plan.nodes import AnyPart, Part, Plan, StagePart
from engine.plan.parts import Parts
from engine.plan.scopes import staged_scope
from engine.plan.terms import Terms
from engine.query.bound import BoundFilter, BoundGroup, BoundQuery, BoundTree, Path, tree_names


def build(bound: BoundQuery) -> Plan:
    """The plan; NoJoinPath or Unanswerable where no right answer can be computed."""
    _refuse_unsupported(bound)
    conditions = [leaf for tree in (*bound.having, *bound.mixed) for leaf in _measure_filters(tree)]
    asked: list[tuple[Measure, Path]] = [(each.measure, each.path) for each in bound.measures]
    asked += [(each.member, each.path) for each in conditions if isinstance(each.member, Measure)]
    several = len(_facts(bound.catalog, [measure for measure, _ in asked])) > 1
    terms = _terms(bound, several=several)
    for measure, path in asked:
        terms.add(measure, path)
    _check_mixed(bound)
    plan = _assembled(terms, several=several)
    _check_concerned(plan)
    return plan


def _terms(bound: BoundQuery, *, several: bool) -> Terms:
    return Terms(bound, partial(_assembled, several=several), _parts(bound).alone)


def _facts(catalog: Catalog, measures: Iterable[Measure]) -> set[str]:
    """The cubes whose rows the measures aggregate, through all stages and formulas."""
    found: set[str] = set()
    for measure in measures:
        names = catalog.expanded[measure.full_name].measures
        inner = [each for each in map(catalog.primitive, names) if isinstance(each, Measure)]
        found |= _facts(catalog, inner) if inner else {measure.cube}
    return found


def _check_concerned(plan: Plan) -> None:
    """A condition that concerns no fact of the question at all is a mistake."""
    parts = list(_all_parts(plan))
    for tree in plan.query.where:
        if parts and all(tree in part.ignored for part in parts):
            raise NoJoinPath("A filter can be joined to none of the measures asked for.")


def _all_parts(plan: Plan) -> Iterator[Part]:
    for part in plan.parts:
        if isinstance(part, StagePart):
            yield from _all_parts(part.plan)
        elif isinstance(part, Part):
            yield part
    for fixed in plan.fixed:
        yield from _all_parts(fixed.plan)


def _parts(bound: BoundQuery) -> Parts:
    return Parts(bound, lambda inner, name: computed_dimension(inner, name, _value_plan))


def _value_plan(bound: BoundQuery, dimension: Dimension) -> Plan:
    """The plan of a dimension that is made of measures, for an inner question by its keys."""
    terms = _terms(bound, several=False)
    scope = staged_scope(bound, terms.base, dimension.stage) if dimension.stage else None
    terms.value("value", bound.catalog.tree(f"{dimension.full_name}#value"), (dimension.cube,), scope)
    plan = _assembled(terms, several=False)
    _check_concerned(plan)
    return plan


def _assembled(terms: Terms, *, several: bool) -> Plan:
    """The plan of one grain from the terms that its measures need; `several`: the question has other facts, too."""
    bound = terms.bound
    stages, fixed = terms.stages.parts(), terms.stages.fixed()
    if bound.having or bound.mixed:
        terms.lift_windows()
    scoped = any(leaf.scope != terms.base for leaf in terms.leaves.values())
    if bound.ungrouped and (stages or fixed or terms.windows or scoped):
        raise Unanswerable("An ungrouped query cannot have measures of several stages.")
    parts: tuple[AnyPart, ...] = stages
    if terms.leaves or not stages:
        parts = (*_parts(bound).of(list(terms.leaves.values()), several=several), *stages)
    return Plan(
        query=bound,
        dimensions=bound.dimensions,
        parts=parts,
        formulas=terms.formulas,
        fixed=fixed,
        windows=terms.windows,
        having=(*bound.having, *bound.mixed),
        order=bound.order,
    )


def _measure_filters(tree: BoundTree) -> list[BoundFilter]:
    if isinstance(tree, BoundGroup):
        return [leaf for each in tree.filters for leaf in _measure_filters(each)]
    return [tree] if isinstance(tree, BoundFilter) and isinstance(tree.member, Measure) else []


def _check_mixed(bound: BoundQuery) -> None:
    """In a group with measures, a dimension must be one of the answer: otherwise it has no one value a row."""
    grouped = {each.dimension.full_name for each in bound.dimensions if each.granularity is None}
    for tree in bound.mixed:
        for name in tree_names(tree):
            if isinstance(bound.catalog.primitive(name), Dimension) and name not in grouped:
                raise Unanswerable(
                    "You cannot use dimension and measure in same condition: "
                    f"'{name}' is not among the dimensions asked.",
                    hint=f"Add '{name}' to dimensions.",
                )
            if not isinstance(bound.catalog.primitive(name), Dimension | Measure):
                raise Unanswerable(f"The segment '{name}' cannot stand in one condition with a measure.")


def _refuse_unsupported(bound: BoundQuery) -> None:
    names = [each.dimension.full_name for each in bound.dimensions]
    names += [name for tree in (*bound.where, *bound.required, *bound.mixed) for name in tree_names(tree)]
    for name in dict.fromkeys(names):
        spelled = bound.catalog.expanded[name]
        problem = spelled.unsupported
        if problem:
            raise Unanswerable(f"'{name}' needs {problem}; that cannot be answered yet.", member=name)
        if _aggregates(spelled.tree) and not isinstance(bound.catalog.primitive(name), Measure):
            raise _aggregate_for_rows(bound, name)


def _aggregates(tree: exp.Expr | None) -> bool:
    """Whether SQL for a single row has an aggregate of many, other than over a window or in a SELECT of its own."""
    if tree is None or isinstance(tree, exp.Column):
        return False
    return any(not each.find_ancestor(exp.Window, exp.Query) for each in tree.find_all(exp.AggFunc))


def _aggregate_for_rows(bound: BoundQuery, name: str) -> Unanswerable:
    shown = any(each.dimension.full_name == name for each in bound.dimensions)
    code = "E_AGGREGATE_IN_SCALAR_QUERY" if bound.ungrouped else "E_AGGREGATE_IN_FIELD"
    return Unanswerable(
        f"'{name}' has an aggregate in its SQL: it is asked of single rows.",
        hint="Make it a measure; a dimension with sub_query: true shows a measure for each row.",
        ossie=code if shown else "E_AGGREGATE_IN_WHERE",
        member=name,
    )


def used_tables(catalog: Catalog, plan: Plan) -> tuple[str, ...]:
    """The cubes that the plan reads, each once."""
    found: dict[str, None] = {}
    for inner in (
        *(fixed.plan for fixed in plan.fixed),
        *(part.plan for part in plan.parts if isinstance(part, StagePart)),
    ):
        found.update(dict.fromkeys(used_tables(catalog, inner)))
    for part in plan.parts:
        if isinstance(part, Part):
            for tree in filter(None, (part.tree, part.fact_tree)):
                found.update(dict.fromkeys(tree.cubes))
                for sub in tree.sub_queries:
                    found.update(dict.fromkeys(used_tables(catalog, sub.plan) if sub.plan else ()))
    return tuple(found)
