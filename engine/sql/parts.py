"""The parts of a plan as SELECTs: group keys, aggregates by name, and where the rows come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.plan.aggregates import COUNTED
from engine.plan.nodes import AnyPart, Leaf, Part, Series, StagePart, Tree
from engine.sql.aggregates import function_of
from engine.sql.clauses import Body, bare, column, filled, from_, grouped, named, where
from engine.sql.early import aggregated_early
from engine.sql.fused import read_once, together
from engine.sql.rolling import Rolling, along_time, around_range
from engine.sql.semijoins import narrowed
from engine.sql.time import call

if TYPE_CHECKING:
    from engine.sql.render import Renderer

Values = dict[str, exp.Expr]


class Parts:
    """Builds the parts of one plan."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.plan = renderer.plan

    def all(self) -> Body:
        """The only part, or all of them combined."""
        parts = self.plan.parts
        return self.body(parts[0]) if len(parts) == 1 else self._union()

    def body(self, part: AnyPart) -> Body:
        """One part."""
        if isinstance(part, StagePart):
            return self._stage(part)
        rows = part.part if isinstance(part, Series) else part
        self.renderer.current = rows
        window, time = rows.scope.window, self.plan.query.time
        if window is None or time is None:
            return self._plain(rows, [])
        if not along_time(self.renderer):
            return self._plain(rows, around_range(self.renderer, window, time))
        rolling = Rolling(self.renderer, rows, window, time)
        return rolling.series() if isinstance(part, Series) else self._rolled(rows, rolling)

    def _plain(self, part: Part, conditions: Sequence[exp.Expr]) -> Body:
        source = self.source(part, conditions)
        natives = [self.renderer.native(each) for each in self.plan.dimensions]
        aggregates = self.renderer.aggregates
        early = aggregated_early(self.renderer, part, source, natives) if part.scope.snapshot is None else None
        if early is not None:
            return early
        if part.scope.snapshot is not None or (part.fact_key and part.fact_tree is None):
            return self._once(part, source, natives, lambda leaf, value: call(function_of(leaf, part), value))
        if part.fact_tree is None:
            return Body(natives, {leaf.name: aggregates.of(leaf, part) for leaf in part.leaves}, source)
        return self._rejoined(part, part.fact_tree, source, natives)

    def source(self, part: Part, conditions: Sequence[exp.Expr]) -> exp.Select:
        """FROM … WHERE of a part over tables."""
        tree, found = narrowed(self.renderer, part, self.renderer.conditions(part))
        return where(self.renderer.sources.joined(tree), [*found, *conditions])

    def _keys(self, part: Part, inner: exp.Select, natives: Sequence[exp.Expr]) -> list[exp.Expr]:
        """Make `inner` list the distinct dimensions with the keys of the fact."""
        fact = self.renderer.catalog.cubes[part.fact or part.tree.root]
        primary = [self.renderer.own(key.full_name) for key in fact.primary_key]
        outputs = [named(native, f"d{index}") for index, native in enumerate(natives)]
        outputs += [named(key, f"k{index}") for index, key in enumerate(primary)]
        inner.set("expressions", outputs)
        inner.set("distinct", exp.Distinct())
        return primary

    def _once(
        self,
        part: Part,
        inner: exp.Select,
        natives: Sequence[exp.Expr],
        aggregate: Callable[[Leaf, exp.Expr], exp.Expr],
    ) -> Body:
        """Values first, aggregated outside. With `fact_key`, each row of the fact once a group: DISTINCT dimensions,
        key and values."""
        if part.fact_key:
            self._keys(part, inner, natives)
        else:
            inner.set("expressions", [named(native, f"d{index}") for index, native in enumerate(natives)])
        for index, leaf in enumerate(part.leaves):
            value = self._at_edge(part, leaf, self.renderer.aggregates.value(leaf, part))
            inner.append("expressions", named(value, f"v{index}"))
        groups: list[exp.Expr] = [column(f"d{index}", "keys") for index in range(len(natives))]
        values = {leaf.name: aggregate(leaf, column(f"v{index}", "keys")) for index, leaf in enumerate(part.leaves)}
        return Body(groups, values, from_(inner, "keys"))

    def _at_edge(self, part: Part, leaf: Leaf, value: exp.Expr) -> exp.Expr:
        """The value of a semi-additive measure, NULL before the last (after the first) moment that has one."""
        snapshot = part.scope.snapshot
        if snapshot is None:
            return value
        if leaf.raw:
            raise Unanswerable(
                "An aggregate written in SQL cannot be semi-additive; give its measure a type such as sum."
            )
        moment = self.renderer.own(snapshot.dimension)
        counted = exp.Case(
            ifs=[exp.If(this=exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null())), true=moment)]
        )
        buckets = [
            self.renderer.native(each)
            for each in self.plan.dimensions
            if each.dimension.full_name == snapshot.dimension
        ]
        entities = [self.renderer.own(name) for name in snapshot.groups]
        edge = exp.Window(this=call(snapshot.choice, counted), partition_by=[*buckets, *entities])
        return exp.Case(ifs=[exp.If(this=exp.EQ(this=moment.copy(), expression=edge), true=value)])

    def _rejoined(self, part: Part, tree: Tree, inner: exp.Select, natives: Sequence[exp.Expr]) -> Body:
        """Aggregates that cannot be cut from their columns: the fact joined to its keys again."""
        primary = self._keys(part, inner, natives)
        groups: list[exp.Expr] = [column(f"d{index}", "keys") for index in range(len(natives))]
        source = self.renderer.sources.joined_to_keys(inner, tree, [key.copy() for key in primary])
        return Body(groups, {leaf.name: self.renderer.aggregates.of(leaf, part) for leaf in part.leaves}, source)

    def _rolled(self, part: Part, rolling: Rolling) -> Body:
        """States by dimensions and reach, each put into every bucket that it reaches, merged there."""
        if any(leaf.raw for leaf in part.leaves):
            raise Unanswerable("An aggregate written in SQL cannot roll; give its measure a type such as sum.")
        source = self.source(part, rolling.conditions())
        natives = [self.renderer.native(each) for each in rolling.others]
        keys = rolling.keys()
        aggregates = self.renderer.aggregates

        def state(leaf: Leaf, value: exp.Expr) -> exp.Expr:
            return call(f"{function_of(leaf, part)}State", value)

        if part.fact_key:
            body = self._once(part, source, [*natives, *keys.values()], state)
            natives, reached = body.natives[: len(natives)], dict(zip(keys, body.natives[len(natives) :], strict=True))
            body = Body(natives, body.values, body.source)
        else:
            body = Body(natives, {leaf.name: state(leaf, aggregates.value(leaf, part)) for leaf in part.leaves}, source)
            reached = keys
        return rolling.spread(body, reached, {leaf.name: function_of(leaf, part) for leaf in part.leaves})

    def _stage(self, part: StagePart) -> Body:
        """The groups of the inner plan, aggregated."""
        inner = type(self.renderer)(part.plan, self.renderer.parameters, self.renderer.checks)
        names = list(dict.fromkeys(node.name for leaf in part.leaves for node in leaf.tree.find_all(exp.Placeholder)))
        columns = {name: column(f"v{index}", "stage") for index, name in enumerate(names)}
        natives: list[exp.Expr] = [column(f"d{place}", "stage") for place in part.places]
        values = {leaf.name: filled(leaf.tree, columns) for leaf in part.leaves}
        return Body(natives, values, from_(inner.relation(names, inner=True), "stage"))

    # --- several parts --------------------------------------------------------------------------------------------

    def _union(self) -> Body:
        """Each part fills its own columns; a group which a part lacks has NULL there."""
        names = [name for part in self.plan.parts for name in value_names(part)]
        places = {name: f"m{index}" for index, name in enumerate(dict.fromkeys(names))}
        selects = self._selects(places)
        union: exp.Expr = selects[0]
        for each in selects[1:]:
            union = exp.Union(this=union, expression=each, distinct=False)
        natives: list[exp.Expr] = [column(f"d{index}", "parts") for index in range(len(self.plan.dimensions))]
        gaps = any(each.granularity for each in self.plan.dimensions)
        values = {name: picked for part in self.plan.parts for name, picked in _picked(part, places, gaps=gaps).items()}
        return Body(natives, values, from_(union, "parts"))

    def _selects(self, places: Mapping[str, str]) -> list[exp.Select]:
        """The SELECT of each part, or of several that read the same fact."""
        made: dict[int, exp.Select | None] = {}
        for group in together(self.plan.parts) if not self.plan.query.ungrouped else ():
            select = read_once(self.renderer, group, places)
            if select is not None:
                made |= {id(part): None for part in group} | {id(group[0]): select}
        found = [made[id(part)] if id(part) in made else self._part_select(part, places) for part in self.plan.parts]
        return [select for select in found if select is not None]

    def names(self) -> set[str]:
        """The names of the values that the parts give."""
        return {name for part in self.plan.parts for name in value_names(part)}

    def _part_select(self, part: AnyPart, places: Mapping[str, str]) -> exp.Select:
        body = self.body(part)
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(body.natives)]
        outputs += [named(body.values.get(name, exp.Null()), place) for name, place in places.items()]
        return grouped(outputs, body.source, body.natives)


def value_names(part: AnyPart) -> list[str]:
    """The names of the values that a part gives."""
    return [] if isinstance(part, Series) else [leaf.name for leaf in part.leaves]


def _picked(part: AnyPart, places: Mapping[str, str], *, gaps: bool) -> Values:
    """The one value of each group; a group without rows counts 0 (an empty window in a series, which has `gaps`:
    unknown, but 0 distinct values)."""
    if isinstance(part, Series):
        return {}
    zero: set[str] = set()
    if isinstance(part, Part):
        counted = ("count_distinct",) if part.scope.window and gaps else COUNTED
        zero = {leaf.name for leaf in part.leaves if leaf.measure.type in counted and not leaf.raw}
    else:
        zero = {leaf.name for leaf in part.leaves if leaf.tree.name in ("count", "uniqExact", "uniq")}
    values = {}
    for leaf in part.leaves:
        value: exp.Expr = call("any", column(places[leaf.name], "parts"))
        values[leaf.name] = call("coalesce", value, exp.Literal.number(0)) if leaf.name in zero else value
        if leaf.name in zero:
            values[bare(leaf.name)] = value.copy()
    return values
