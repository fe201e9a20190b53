"""Logical plan → one ClickHouse SELECT: nodes are built, never parsed, and generated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

from sqlglot import exp

from engine.model.catalog import Dimension, Measure
from engine.model.columns import type_of
from engine.model.terms import Interval
from engine.plan.builder import used_tables
from engine.plan.nodes import Part, Plan
from engine.query.bound import BoundDimension, BoundFilter, BoundMeasure, BoundSegment, name_of
from engine.sql.aggregates import Aggregates
from engine.sql.cells import cell_of
from engine.sql.clauses import Body, all_of, grouped, known, named, where
from engine.sql.filters import Predicates
from engine.sql.layers import Layers
from engine.sql.parameters import Parameters, Recipe, placeholder
from engine.sql.parts import Parts
from engine.sql.series import Span, moved
from engine.sql.sources import Sources
from engine.sql.statement import Column
from engine.sql.time import UNMOVED, aggregated, bucket, shown, wall, wall_bucket

SETTINGS: Mapping[str, object] = {
    "join_use_nulls": 1,
    "aggregate_functions_null_for_empty": 1,
    "enable_extended_results_for_datetime_functions": 1,
    "session_timezone": "UTC",
}
"""What the SQL relies on: unmatched rows and empty aggregates are NULL, dates beyond 1970–2149, one server clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A statement as a tree, not yet verified, its parameters and its columns."""

    plan: Plan
    tree: exp.Select
    recipes: tuple[Recipe, ...]
    columns: tuple[Column, ...]
    cubes: tuple[str, ...]
    checks: tuple[Span, ...] = ()


def render(plan: Plan) -> Rendered:
    """The SQL of a plan with its parameters and columns."""
    renderer = Renderer(plan, Parameters(), [])
    tree = renderer.final()
    return Rendered(
        plan=plan,
        tree=tree,
        recipes=tuple(renderer.parameters.recipes),
        columns=renderer.columns(),
        cubes=used_tables(plan.query.catalog, plan),
        checks=tuple(renderer.checks),
    )


class Renderer:
    """The work on one plan; inner plans get a renderer of their own over the same parameters and checks."""

    def __init__(self, plan: Plan, parameters: Parameters, checks: list[Span]) -> None:
        self.plan = plan
        self.catalog = plan.query.catalog
        self.zone = plan.query.timezone
        self.parameters = parameters
        self.checks = checks
        self.current: Part | None = None
        self.sources = Sources(self)
        self.aggregates = Aggregates(self)
        self.parts = Parts(self)
        self.layers = Layers(self)
        kinds = partial(type_of, self.catalog)
        self.where = Predicates(parameters, self.zone, self._row_value, self._moves, kinds)
        self.rights = Predicates(parameters, self.zone, self.sources.own_value, kinds=kinds)
        self.aliases = _aliases(
            [*(each.column for each in plan.query.dimensions), *(each.column for each in plan.query.measures)]
        )

    def columns(self) -> tuple[Column, ...]:
        """What the columns of the answer mean."""
        query = self.plan.query
        dimensions = [
            Column(each.column, each.kind, each.dimension.type, self.aliases[each.column], each.granularity)
            for each in query.dimensions
        ]
        measures = [
            Column(each.column, "measure", _measure_type(each.measure), self.aliases[each.column])
            for each in query.measures
        ]
        return (*dimensions, *measures)

    def final(self) -> exp.Select:
        """The whole SELECT, sorted and cut."""
        rows = self.rows()
        outputs = [
            named(self._shown(each, native.copy()), self.aliases[each.column])
            for each, native in zip(self.plan.dimensions, rows.natives, strict=True)
        ]
        outputs += [named(self._output(each, rows), self.aliases[each.column]) for each in self.plan.query.measures]
        select = self._closed(outputs, rows, self._having(rows))
        orders = [exp.Ordered(this=exp.column(self.aliases[each.column]), desc=each.desc) for each in self.plan.order]
        if orders:
            select.set("order", exp.Order(expressions=orders))
        if self.plan.query.limit:
            select.set("limit", exp.Limit(expression=placeholder("limit", "UInt64")))
        if self.plan.query.offset:
            select.set("offset", exp.Offset(expression=placeholder("offset", "UInt64")))
        return select

    def relation(self, names: Sequence[str], *, inner: bool = False) -> exp.Select:
        """For an outer plan: the dimensions as `d0`, `d1` … and formulas as `v0`, `v1` …; `inner` ones are aggregated,
        so each is NULL where it has no rows."""
        rows = self.rows()
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(rows.natives)]
        leaves = self.parts.names() if inner else set()
        outputs += [named(self.formula(name, rows, leaves), f"v{index}") for index, name in enumerate(names)]
        return self._closed(outputs, rows, None)

    def rows(self) -> Body:
        """The groups of the plan: still to be grouped, or (`layered`) made already and looked at together."""
        body = self.parts.all()
        return self.layers.over(body) if self.plan.layered else body

    def formula(self, name: str, rows: Body, leaves: Set[str] = frozenset()) -> exp.Expr:
        """A formula of the plan over its rows; NULL where none of these leaves has rows."""
        places = {f"@{index}": native for index, native in enumerate(rows.natives)}
        return known(self.plan.formulas[name], {**rows.values, **places}, leaves)

    def _output(self, measure: BoundMeasure, rows: Body) -> exp.Expr:
        value = self.formula(measure.measure.full_name, rows)
        return shown(aggregated(value, self.zone), False) if measure.measure.type == "time" else value

    def _closed(self, outputs: Sequence[exp.Expr], rows: Body, condition: exp.Expr | None) -> exp.Select:
        if self.plan.layered:
            select = grouped(outputs, rows.source, ())
            return where(select, [condition]) if condition is not None else select
        select = grouped(outputs, rows.source, () if self.plan.query.ungrouped else rows.natives)
        if condition is not None:
            select.set("having", exp.Having(this=condition))
        return select

    # --- values ---------------------------------------------------------------------------------------------------

    def member(self, name: str) -> exp.Expr:
        """A dimension's or segment's SQL over the aliases of cubes."""
        return self.sources.spelled(name)

    def own(self, name: str) -> exp.Expr:
        """`member`, whatever the caller is shown of it: what tells rows apart."""
        return self.sources.own(name)

    def native(self, each: BoundDimension) -> exp.Expr:
        """The value by which the dimension groups: its SQL, wall time, or the start of a bucket."""
        dimension = each.dimension
        if each.raw:
            return self.own(dimension.full_name)
        if dimension.type != "time":
            return self.member(dimension.full_name)
        if each.granularity is None:
            return self.moment(dimension)
        if each.custom is not None and each.custom.sql is not None:
            return wall(self.member(f"{dimension.full_name}.{each.granularity}"), self.zone)
        shifted = self.interval(dimension) is not None
        local = cell_of(self, dimension, each.granularity, each.custom)
        if local is not None or shifted:
            return wall_bucket(local or self.moment(dimension), each.granularity, each.custom)
        column = self.member(dimension.full_name)
        return bucket(column, self.zone, each.granularity, each.custom, type_of(self.catalog, column))[0]

    def moment(self, dimension: Dimension) -> exp.Expr:
        """The wall time of a row, moved as the part at work says."""
        column = self.member(dimension.full_name)
        local = wall(column, self.zone, type_of(self.catalog, column))
        interval = self.interval(dimension)
        return moved(local, interval, clamp=True) if interval is not None else local

    def interval(self, dimension: Dimension) -> Interval | None:
        """By what the part at work moves a time dimension."""
        shifts = dict(self.current.scope.shifts) if self.current is not None else {}
        shift = shifts.get(dimension.full_name)
        return shift.interval if shift is not None else None

    def _shown(self, each: BoundDimension, native: exp.Expr) -> exp.Expr:
        if each.dimension.type != "time":
            return native
        is_date = each.custom is None and each.granularity in ("day", "week", "month", "quarter", "year")
        return shown(native, is_date)

    def conditions(self, part: Part) -> list[exp.Expr]:
        """The conditions on the rows of a part; what a row may be read by is its own time, wherever it is moved to."""
        required = {id(each) for each in self.plan.query.required}
        return [
            self.sources.at_lying(self.rights.tree(each)) if id(each) in required else self.where.tree(each)
            for each in part.where
        ]

    def _moves(self, node: BoundFilter) -> Interval:
        """By what the part at work moves the time on which a condition stands."""
        found = self.interval(node.member) if isinstance(node.member, Dimension) else None
        return found or UNMOVED

    def _row_value(self, node: BoundFilter | BoundSegment) -> exp.Expr:
        if isinstance(node, BoundFilter):
            return self.member(node.member.full_name)
        if isinstance(node.segment, Measure):
            name = node.segment.full_name
            name = f"{name}#rows" if f"{name}#rows" in self.catalog.expanded else name
            if self.catalog.expanded[name].condition is None:
                return exp.true()
            return self.sources.spelled(name, condition=True)
        return self.member(node.segment.full_name)

    def _having(self, rows: Body) -> exp.Expr | None:
        if not self.plan.having:
            return None
        by_name = {
            each.dimension.full_name: native
            for each, native in zip(self.plan.dimensions, rows.natives, strict=True)
            if each.granularity is None
        }

        def resolve(node: BoundFilter | BoundSegment) -> exp.Expr:
            name = name_of(node)
            if name in by_name:
                return by_name[name].copy()
            value = self.formula(name, rows)
            timed = isinstance(node, BoundFilter) and node.member.type == "time"
            return aggregated(value, self.zone) if timed else value

        # Times are wall time here, so their literals are read as such.
        predicates = Predicates(self.parameters, "UTC", resolve)
        return all_of([predicates.tree(each) for each in self.plan.having])


def _aliases(columns: list[str]) -> dict[str, str]:
    """`orders.created_at.day` → `orders__created_at_day`, each alias once."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in columns:
        cube, _, rest = name.partition(".")
        alias = f"{cube}__{rest.replace('.', '_')}"
        while alias in taken:
            alias += "_"
        taken.add(alias)
        found[name] = alias
    return found


def _measure_type(measure: Measure) -> str:
    return measure.type if measure.type in ("string", "time", "boolean") else "number"
