"""Parts that count rows of one fact under different conditions, or moved in time: the fact is read once for them all.

    SELECT subject, month, count(*) …            SELECT subject, if(part = 0, month, month + 1), …
    WHERE time in this year                      FROM (SELECT *, arrayJoin([0, 1]) AS part FROM (
    UNION ALL                                →      SELECT quiz, month, countIf(C0) AS a0, countIf(C1) AS a1
    SELECT subject, month + 1, count(*) …           FROM answers WHERE C0 OR C1 GROUP BY quiz, month))
    WHERE time + 1 month in this year            LEFT JOIN quizzes … GROUP BY …, part

Each row of the result belongs to one part, as it would in the UNION.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.model.markers import FILTERED
from engine.model.terms import Interval
from engine.plan.nodes import AnyPart, Part, Tree
from engine.query.bound import BoundDimension, BoundTree, tree_names
from engine.sql.cells import cell, cell_unit, local_of
from engine.sql.clauses import aliased, all_of, column, from_, grouped, named, where
from engine.sql.early import Split, are_few
from engine.sql.partials import Partials
from engine.sql.semijoins import has_query, narrowed, owners
from engine.sql.series import grain_of
from engine.sql.time import call, number, wall_bucket

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_IF = {"sum": "sumIf", "min": "minIf", "max": "maxIf"}


def together(parts: Iterable[AnyPart]) -> Iterator[list[Part]]:
    """Which parts could be read at once: plain aggregates of the same fact over the same joins."""
    found: dict[tuple[object, ...], list[Part]] = {}
    for part in parts:
        if isinstance(part, Part) and _plain(part):
            subs = tuple(id(sub) for sub in part.tree.sub_queries)
            found.setdefault((part.tree.root, part.tree.edges, subs), []).append(part)
    yield from (each for each in found.values() if len(each) > 1)


def _plain(part: Part) -> bool:
    scope = part.scope
    if part.fact_key or part.fact_tree is not None or scope.window is not None or scope.snapshot is not None:
        return False
    if any(shift.interval is None for _, shift in scope.shifts) or part.tree.multiplies(part.tree.root):
        return False
    return all(leaf.cube == part.tree.root for leaf in part.leaves)


def read_once(renderer: Renderer, parts: Sequence[Part], places: Mapping[str, str]) -> exp.Select | None:
    """The rows of all the parts, each with its values at their places; None if that is not possible or no gain."""
    return _Fused(renderer, parts).select(places)


class _Fused:
    """One scan for several parts."""

    def __init__(self, renderer: Renderer, parts: Sequence[Part]) -> None:
        self.renderer = renderer
        self.parts = parts
        self.alias = renderer.catalog.cubes[parts[0].tree.root].alias
        self.failed = False

    def select(self, places: Mapping[str, str]) -> exp.Select | None:
        """See `read_once`."""
        if self._has_filters_within():
            return None
        common, own, tree = self._conditions()
        if any(not owners(each) <= {self.alias} or has_query(each) for each in own if each is not None):
            return None
        source = where(self.renderer.sources.joined(tree), common)
        work = Split(self.alias, source)
        groups = [[work.keyed(native) for native in self._natives(part)] for part in self.parts]
        columns: dict[str, exp.Expr] = {}
        values = [self._values(index, own[index], columns) for index in range(len(self.parts))]
        whole = not groups[0] and not work.keys
        if self.failed or work.failed or not (whole or are_few(self.renderer, self.parts[0], work)):
            return None
        if all(condition is not None for condition in own):
            work.inside.append(exp.Paren(this=_any([_closed(each) for each in own if each is not None])))
        if whole:
            every = {name: value for part in values for name, value in part.items() if value is not None}
            outputs = [named(every.get(name, exp.Null()), place) for name, place in places.items()]
            return grouped(outputs, work.outer(columns), ())
        counts = [self._count(condition, columns) for condition in own]
        outer = self._spread(work.outer(columns), counts)
        natives = [self._picked([group[place] for group in groups]) for place in range(len(groups[0]))]
        outputs = [named(native, f"d{index}") for index, native in enumerate(natives)]
        outputs += [named(self._at(values, name), place) for name, place in places.items()]
        return grouped(outputs, outer, [*natives, self._part()])

    def _has_filters_within(self) -> bool:
        """Whether the SQL of a cube or join takes the question's conditions (FILTER_PARAMS): each part has its own."""
        tree, expanded = self.parts[0].tree, self.renderer.catalog.expanded
        names = [f"{cube}#table" for cube in tree.cubes] + [f"{edge.parent}>{edge.child}" for edge in tree.edges]
        trees = (expanded[name].tree for name in names)
        return any(node.name == FILTERED for each in trees if each is not None for node in each.find_all(exp.Anonymous))

    def _conditions(self) -> tuple[list[exp.Expr], list[exp.Expr | None], Tree]:
        """The conditions of all parts, those of each alone (None: no more than the common ones), and the joins."""
        moved = {name for part in self.parts for name, _ in part.scope.shifts}
        first = self.parts[0]
        common = [tree for tree in first.where if self._is_common(tree, moved)]
        rendered = self._rendered(first, common)
        sizes = [len(rendered)]
        for part in self.parts:
            rendered += self._rendered(part, [tree for tree in part.where if tree not in common])
            sizes.append(len(rendered))
        self.renderer.current = first
        leaves = tuple(leaf for part in self.parts for leaf in part.leaves)
        tree, found = narrowed(self.renderer, replace(first, leaves=leaves), rendered)
        pieces = [found[start:end] for start, end in pairwise(sizes)]
        return found[: sizes[0]], [all_of(piece) if piece else None for piece in pieces], tree

    def _is_common(self, tree: BoundTree, moved: set[str]) -> bool:
        return all(tree in part.where for part in self.parts) and not moved & set(tree_names(tree))

    def _rendered(self, part: Part, trees: Iterable[BoundTree]) -> list[exp.Expr]:
        self.renderer.current = part
        return self.renderer.conditions(replace(part, where=tuple(trees)))

    def _natives(self, part: Part) -> list[exp.Expr]:
        self.renderer.current = part
        return [self._native(each) for each in self.renderer.plan.dimensions]

    def _native(self, each: BoundDimension) -> exp.Expr:
        """A moved dimension by cells that are good for every part."""
        renderer, dimension = self.renderer, each.dimension
        lengths = list(self._lengths(dimension.full_name))
        plain = each.raw or each.granularity is None or (each.custom is not None and each.custom.sql is not None)
        if not lengths or plain or each.granularity is None:
            return renderer.native(each)
        unit = cell_unit([grain_of(each.granularity, each.custom)], lengths)
        interval = renderer.interval(dimension)
        if unit is None or (interval is None and each.custom is None and unit == each.granularity):
            return renderer.native(each)
        found = cell(renderer, dimension, unit)
        return wall_bucket(local_of(found, found.key, interval), each.granularity, each.custom)

    def _lengths(self, name: str) -> Iterator[Interval]:
        for part in self.parts:
            shift = dict(part.scope.shifts).get(name)
            if shift is not None and shift.interval is not None:
                yield shift.interval

    def _values(
        self, index: int, condition: exp.Expr | None, columns: dict[str, exp.Expr]
    ) -> Mapping[str, exp.Expr | None]:
        """The values of a part over partial results that count only its own rows."""
        part = self.parts[index]
        self.renderer.current = part
        aggregates = {leaf.name: self.renderer.aggregates.of(leaf, part) for leaf in part.leaves}
        partials = Partials(self.alias, aggregates.values(), shared=False, prefix=f"a{index}_")
        values = {name: partials.of(value) for name, value in aggregates.items()}
        self.failed = self.failed or partials.failed
        for name, value in partials.columns.items():
            own = _limited(value, condition) if condition is not None else value
            self.failed = self.failed or own is None
            columns[name] = own if own is not None else value
        return values

    def _count(self, condition: exp.Expr | None, columns: dict[str, exp.Expr]) -> exp.Column:
        """How many rows of its own a part has in a group."""
        value = call("countIf", condition.copy()) if condition is not None else exp.Count(this=exp.Star())
        name = next((known for known, tree in columns.items() if tree == value), f"n{len(columns)}")
        columns.setdefault(name, value)
        return column(name, self.alias)

    def _spread(self, outer: exp.Select, counts: Sequence[exp.Column]) -> exp.Select:
        """Each partial result once for each part that has rows in it."""
        fact = outer.args["from_"].this.this
        numbers: list[exp.Expr] = [number(index) for index in range(len(self.parts))]
        inner = from_(fact, self.alias)
        inner.set("expressions", [exp.Star(), named(call("arrayJoin", exp.Array(expressions=numbers)), "part")])
        outer.set("from_", exp.From(this=aliased(inner, self.alias)))
        place = exp.Add(this=self._part(), expression=number(1))
        rows = exp.GT(this=call("arrayElement", exp.Array(expressions=list(counts)), place), expression=number(0))
        before = outer.args.get("where")
        return where(outer, [rows, before.this] if before is not None else [rows])

    def _part(self) -> exp.Column:
        return column("part", self.alias)

    def _is_part(self, index: int) -> exp.EQ:
        return exp.EQ(this=self._part(), expression=number(index))

    def _picked(self, natives: Sequence[exp.Expr]) -> exp.Expr:
        """The dimension as each part has it."""
        *others, last = natives
        if all(native == last for native in others):
            return last
        ifs = [exp.If(this=self._is_part(index), true=native) for index, native in enumerate(others)]
        return exp.Case(ifs=ifs, default=last)

    def _at(self, values: Sequence[Mapping[str, exp.Expr | None]], name: str) -> exp.Expr:
        """The value, in the rows of its part."""
        for index, own in enumerate(values):
            value = own.get(name)
            if value is not None:
                return exp.Case(ifs=[exp.If(this=self._is_part(index), true=value)])
        return exp.Null()


def _limited(value: exp.Expr, condition: exp.Expr) -> exp.Expr | None:
    """The aggregate over the rows for which the condition holds; None if we cannot say it."""
    condition = condition.copy()
    if isinstance(value, exp.Count) and isinstance(value.this, exp.Star):
        return call("countIf", condition)
    arguments = value.expressions if isinstance(value, exp.Anonymous) else [value.this]
    if isinstance(value, exp.ParameterizedAgg) or len(arguments) != 1 or not isinstance(arguments[0], exp.Expr):
        return None
    name = value.name if isinstance(value, exp.Anonymous) else type(value).__name__.lower()
    if name.lower() == "countif":
        return call("countIf", exp.And(this=_closed(arguments[0].copy()), expression=_closed(condition)))
    if name in _IF:
        return call(_IF[name], arguments[0].copy(), condition)
    if isinstance(value, exp.Anonymous):
        case = exp.Case(ifs=[exp.If(this=condition, true=arguments[0].copy())])
        return call(name, case)
    return None


def _closed(condition: exp.Expr) -> exp.Expr:
    return condition if isinstance(condition, exp.Paren) else exp.Paren(this=condition.copy())


def _any(conditions: Sequence[exp.Expr]) -> exp.Expr:
    result = conditions[0]
    for each in conditions[1:]:
        result = exp.Or(this=result, expression=each)
    return result
