"""Logical plan → one ClickHouse SELECT: nodes are built, never parsed, and generated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from engine.model.catalog import Measure
from engine.plan.builder import used_tables
from engine.plan.nodes import Leaf, Part, Plan
from engine.query.bound import BoundDimension, BoundFilter, BoundSegment, name_of
from engine.sql.aggregates import Aggregates
from engine.sql.early import aggregated_early
from engine.sql.filters import Predicates
from engine.sql.parameters import Parameters, Recipe, placeholder
from engine.sql.sources import Sources, column, named
from engine.sql.statement import Column
from engine.sql.time import bucket, call, shown, wall

SETTINGS: Mapping[str, object] = {
    "join_use_nulls": 1,
    "aggregate_functions_null_for_empty": 1,
    "enable_extended_results_for_datetime_functions": 1,
    "session_timezone": "UTC",
}
"""What the SQL relies on: unmatched rows and empty aggregates are NULL, dates beyond 1970–2149, one server clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A statement whose values are still to be filled in; `tree` is what was generated, for the verifier."""

    plan: Plan
    tree: exp.Select
    sql: str
    total: str | None
    recipes: tuple[Recipe, ...]
    columns: tuple[Column, ...]
    cubes: tuple[str, ...]
    guards: Mapping[str, tuple[exp.Expr, ...]]


def render(plan: Plan) -> Rendered:
    """The SQL of a plan with its parameters and columns."""
    renderer = Renderer(plan, Parameters(), {})
    tree = renderer.final()
    total = None
    if plan.query.total:
        bare = tree.copy()
        for key in ("order", "limit", "offset"):
            bare.set(key, None)
        counted = exp.select(exp.alias_(exp.Count(this=exp.Star()), "total", copy=False), copy=False)
        total = counted.from_(exp.Subquery(this=bare), copy=False).sql("clickhouse")
    return Rendered(
        plan=plan,
        tree=tree,
        sql=tree.sql("clickhouse"),
        total=total,
        recipes=tuple(renderer.parameters.recipes),
        columns=renderer.columns(),
        cubes=used_tables(plan.query.catalog, plan),
        guards={cube: tuple(found) for cube, found in renderer.guards.items()},
    )


class Renderer:
    """The work on one plan; sub-queries get a renderer of their own over the same parameters and guards."""

    def __init__(self, plan: Plan, parameters: Parameters, guards: dict[str, list[exp.Expr]]) -> None:
        self.plan = plan
        self.catalog = plan.query.catalog
        self.zone = plan.query.timezone
        self.parameters = parameters
        self.guards = guards
        self.sources = Sources(self)
        self.aggregates = Aggregates(self)
        self.where = Predicates(parameters, self.zone, self._row_value)
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
        select = self._single(self.plan.parts[0]) if len(self.plan.parts) == 1 else self._combined()
        orders = [exp.Ordered(this=exp.column(self.aliases[each.column]), desc=each.desc) for each in self.plan.order]
        if orders:
            select.set("order", exp.Order(expressions=orders))
        if self.plan.query.limit:
            select.set("limit", exp.Limit(expression=placeholder("limit", "UInt64")))
        if self.plan.query.offset:
            select.set("offset", exp.Offset(expression=placeholder("offset", "UInt64")))
        return select

    def keyed_values(self, value: str) -> exp.Select:
        """For a sub-query dimension: the key columns as `k0`, `k1` … and one formula as `value`."""
        keys = [f"k{index}" for index in range(len(self.plan.dimensions))]
        if len(self.plan.parts) == 1:
            natives, values, source = self._part_body(self.plan.parts[0])
        else:
            natives, values, source = self._union_body()
        outputs = [named(native.copy(), key) for native, key in zip(natives, keys, strict=True)]
        outputs.append(named(self._formula(value, values), "value"))
        return _grouped(outputs, source, natives)

    # --- one part -------------------------------------------------------------------------------------------------

    def _single(self, part: Part) -> exp.Select:
        natives, values, source = self._part_body(part)
        if self.plan.query.ungrouped:
            natives_to_group: Sequence[exp.Expr] = ()
        else:
            natives_to_group = natives
        return self._outputs(natives, values, source, natives_to_group)

    def _outputs(
        self,
        natives: Sequence[exp.Expr],
        values: Mapping[str, exp.Expr],
        source: exp.Select,
        group: Sequence[exp.Expr],
    ) -> exp.Select:
        outputs = [
            named(self._shown(each, native.copy()), self.aliases[each.column])
            for each, native in zip(self.plan.dimensions, natives, strict=True)
        ]
        for measure in self.plan.query.measures:
            value = self._formula(measure.measure.full_name, values)
            if measure.measure.type == "time":
                value = shown(wall(value, self.zone), False)
            outputs.append(named(value, self.aliases[measure.column]))
        select = _grouped(outputs, source, group)
        conditions = self._having(natives, values)
        if conditions is not None:
            select.set("having", exp.Having(this=conditions))
        return select

    def _part_body(self, part: Part) -> tuple[list[exp.Expr], dict[str, exp.Expr], exp.Select]:
        """Group keys, aggregates by leaf, and the FROM … WHERE of a part."""
        source = self.sources.joined(part.tree)
        self._filter(source, part)
        natives = [self.native(each) for each in self.plan.dimensions]
        early = aggregated_early(self, part, source, natives)
        if early is not None:
            return early
        if part.fact_key:
            return self._once(part, source, natives)
        return natives, {leaf.name: self.aggregates.of(leaf, part) for leaf in part.leaves}, source

    def _once(
        self, part: Part, inner: exp.Select, natives: Sequence[exp.Expr]
    ) -> tuple[list[exp.Expr], dict[str, exp.Expr], exp.Select]:
        """Each row of the fact once a group: DISTINCT dimensions, key and values, aggregated outside."""
        fact = self.catalog.cubes[part.fact or part.tree.root]
        primary = [self.member(key.full_name) for key in fact.primary_key]
        outputs = [named(native, f"d{index}") for index, native in enumerate(natives)]
        outputs += [named(key, f"k{index}") for index, key in enumerate(primary)]
        if part.fact_tree is None:
            outputs += [named(self.aggregates.value(leaf, part), f"v{index}") for index, leaf in enumerate(part.leaves)]
        inner.set("expressions", outputs)
        inner.set("distinct", exp.Distinct())
        groups: list[exp.Expr] = [column(f"d{index}", "keys") for index in range(len(natives))]
        if part.fact_tree is not None:
            source = self.sources.joined_to_keys(inner, part.fact_tree, [key.copy() for key in primary])
            return groups, {leaf.name: self.aggregates.of(leaf, part) for leaf in part.leaves}, source
        source = self.sources.of_keys(inner)
        values = {
            leaf.name: self.aggregates.over(leaf, column(f"v{index}", "keys")) for index, leaf in enumerate(part.leaves)
        }
        return groups, values, source

    def _filter(self, select: exp.Select, part: Part) -> None:
        conditions = [self.where.tree(each) for each in part.where]
        if conditions:
            joined = conditions[0]
            for each in conditions[1:]:
                joined = exp.And(this=joined, expression=each)
            select.set("where", exp.Where(this=joined))

    # --- several parts --------------------------------------------------------------------------------------------

    def _combined(self) -> exp.Select:
        natives, values, source = self._union_body()
        return self._outputs(natives, values, source, natives)

    def _union_body(self) -> tuple[list[exp.Expr], dict[str, exp.Expr], exp.Select]:
        """Each part fills its own columns; a group which a part lacks has NULL there."""
        leaves = self.plan.leaves
        places = {leaf.name: f"m{index}" for index, leaf in enumerate(leaves)}
        selects = [self._part_select(part, places) for part in self.plan.parts]
        union: exp.Expr = selects[0]
        for each in selects[1:]:
            union = exp.Union(this=union, expression=each, distinct=False)
        source = exp.Select().from_(
            exp.Subquery(this=union, alias=exp.TableAlias(this=exp.to_identifier("parts"))), copy=False
        )
        natives: list[exp.Expr] = [column(f"d{index}", "parts") for index in range(len(self.plan.dimensions))]
        return natives, {leaf.name: _picked(leaf, places[leaf.name]) for leaf in leaves}, source

    def _part_select(self, part: Part, places: Mapping[str, str]) -> exp.Select:
        natives, values, source = self._part_body(part)
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(natives)]
        outputs += [named(values.get(name, exp.Null()), place) for name, place in places.items()]
        return _grouped(outputs, source, natives)

    # --- values ---------------------------------------------------------------------------------------------------

    def member(self, name: str) -> exp.Expr:
        """A dimension's or segment's SQL over the aliases of cubes."""
        return self.sources.timed(self.catalog.tree(name))

    def native(self, each: BoundDimension) -> exp.Expr:
        """The value by which the dimension groups: its SQL, wall time, or the start of a bucket."""
        tree = self.member(each.dimension.full_name)
        if each.granularity is not None:
            return bucket(tree, self.zone, each.granularity, each.custom)[0]
        if each.dimension.type == "time" and not self._is_key(each):
            return wall(tree, self.zone)
        return tree

    def _is_key(self, each: BoundDimension) -> bool:
        """Keys of a sub-query are compared with columns, so they stay as they are."""
        return "." not in each.column

    def _shown(self, each: BoundDimension, native: exp.Expr) -> exp.Expr:
        if each.dimension.type != "time":
            return native
        is_date = each.custom is None and each.granularity in ("day", "week", "month", "quarter", "year")
        return shown(native, is_date)

    def _formula(self, name: str, values: Mapping[str, exp.Expr]) -> exp.Expr:
        root = exp.Paren(this=self.plan.formulas[name].copy())
        for node in list(root.find_all(exp.Placeholder)):
            if node.name in values:
                node.replace(values[node.name].copy())
        result = root.this
        result.pop()
        return result  # type: ignore[no-any-return]

    def _row_value(self, node: BoundFilter | BoundSegment) -> exp.Expr:
        if isinstance(node, BoundFilter):
            return self.member(node.member.full_name)
        if isinstance(node.segment, Measure):
            name = node.segment.full_name
            spelled = self.catalog.expanded.get(f"{name}#rows") or self.catalog.expanded[name]
            return spelled.condition.copy() if spelled.condition is not None else exp.Boolean(this=True)
        return self.member(node.segment.full_name)

    def _having(self, natives: Sequence[exp.Expr], values: Mapping[str, exp.Expr]) -> exp.Expr | None:
        if not self.plan.having:
            return None
        by_name = {
            each.dimension.full_name: native
            for each, native in zip(self.plan.dimensions, natives, strict=True)
            if each.granularity is None
        }

        def resolve(node: BoundFilter | BoundSegment) -> exp.Expr:
            name = name_of(node)
            return by_name[name].copy() if name in by_name else self._formula(name, values)

        # Dimensions of type time are wall time here, so their literals are read as such.
        mixed_time = any(each.dimension.type == "time" for each in self.plan.dimensions if each.granularity is None)
        predicates = Predicates(self.parameters, "UTC" if mixed_time else self.zone, resolve)
        conditions = [predicates.tree(each) for each in self.plan.having]
        joined = conditions[0]
        for each in conditions[1:]:
            joined = exp.And(this=joined, expression=each)
        return joined


def _picked(leaf: Leaf, place: str) -> exp.Expr:
    value = call("any", column(place, "parts"))
    counted = leaf.measure.type in ("count", "count_distinct", "count_distinct_approx") and not leaf.raw
    return call("coalesce", value, exp.Literal.number(0)) if counted else value


def _grouped(outputs: Sequence[exp.Expr], source: exp.Select, group: Sequence[exp.Expr]) -> exp.Select:
    source.set("expressions", list(outputs))
    if group:
        source.set("group", exp.Group(expressions=[each.copy() for each in group]))
    return source


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
