"""A rolling window as SQL: the buckets that a row reaches, and the rows of one spread over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.model.catalog import Dimension
from engine.model.stages import RollingWindow
from engine.model.terms import PREDEFINED, Interval
from engine.plan.nodes import Part
from engine.query.bind import bucket_size
from engine.query.bound import BoundDimension, BoundTime
from engine.sql.cells import Cell, cell, cell_unit, local_of
from engine.sql.clauses import Body, column, from_, grouped, named, where
from engine.sql.overlaps import DAY, overlap_of, wall_of
from engine.sql.series import (
    MAX_BUCKETS,
    Edges,
    Grain,
    Span,
    ends,
    grain_of,
    pruning,
    reach,
    single_window,
)
from engine.sql.time import UNMOVED, call, first_moment, number, text, wall_bucket

if TYPE_CHECKING:
    from engine.sql.render import Renderer

FIRST, LAST, HERE, CELL, BUCKET = "first_bucket", "last_bucket", "own_bucket", "cell", "bucket"


def along_time(renderer: Renderer) -> list[BoundDimension]:
    """The dimensions of the plan that put the question's time into buckets."""
    time = renderer.plan.query.time
    return [each for each in renderer.plan.dimensions if time and each.dimension is time.dimension and each.granularity]


def around_range(renderer: Renderer, window: RollingWindow, time: BoundTime) -> list[exp.Expr]:
    """The conditions of one window around the whole range of a question without buckets."""
    if time.range is None:
        return []
    moment = renderer.moment(time.dimension)
    return single_window(window, ends(time.range), moment, to_date(window, time.dimension), renderer.parameters)


def to_date(window: RollingWindow, dimension: Dimension) -> Grain | None:
    """The buckets in which a window begins that runs to date."""
    name = window.granularity
    if window.kind != "to_date" or name is None:
        return None
    custom = dimension.granularities.get(name)
    if custom is None and name not in PREDEFINED:
        raise Unanswerable(f"'{dimension.full_name}' has no granularity '{name}' to roll to date.")
    return grain_of(name, custom)


class Rolling:
    """The window of one part along the time of its question, which is asked in buckets."""

    def __init__(self, renderer: Renderer, part: Part, window: RollingWindow, time: BoundTime) -> None:
        self.renderer, self.part, self.window, self.time = renderer, part, window, time
        rolling = along_time(renderer)
        self.others = [each for each in renderer.plan.dimensions if each not in rolling]
        self.finest = min(rolling, key=bucket_size)
        self.bucket = grain_of(self.finest.granularity or "day", self.finest.custom)
        self.overlap = overlap_of(window, rolling)
        self.grain = DAY if self.overlap else self.bucket
        self.to_date = to_date(window, time.dimension)
        self.limits = self._limits()
        self.unit = self._unit()

    @property
    def moment(self) -> exp.Expr:
        """The wall time under which a row counts."""
        return self.renderer.moment(self.time.dimension)

    def conditions(self) -> list[exp.Expr]:
        """The rows that any bucket can reach."""
        name, zone, parameters = self.time.dimension.full_name, self.renderer.zone, self.renderer.parameters
        bare = self.renderer.member(name)
        found: list[exp.Expr] = [exp.Not(this=exp.Is(this=bare.copy(), expression=exp.Null()))]
        if self.time.range is None:
            return found
        if name not in dict(self.part.scope.shifts):
            hung = self.grain if self.overlap is not None and self.overlap.last else self.bucket
            edges = Edges(self.window, self.bucket, self.to_date, hung)
            found += pruning(ends(self.time.range), bare, edges, zone, parameters)
        if self.window.kind == "running":
            moved = self.renderer.interval(self.time.dimension) or UNMOVED
            start = first_moment(ends(self.time.range)[0], zone, parameters, moved)
            found.append(exp.GTE(this=bare.copy(), expression=start))
        return found

    def keys(self) -> dict[str, exp.Expr]:
        """What of a row decides its buckets, by column: its cell, or else the numbers of the buckets themselves."""
        if self.unit is not None:
            return {CELL: self._cell(self.unit).key}
        return self._numbers(self.moment)

    def _cell(self, unit: str) -> Cell:
        return cell(self.renderer, self.time.dimension, unit)

    def _numbers(self, moment: exp.Expr) -> dict[str, exp.Expr]:
        """The first and last bucket that a moment reaches, within the limits where they are known; else its own too."""
        found = reach(self.window, self.grain, moment, self.to_date, self._number(moment))
        numbers: dict[str, exp.Expr] = {}
        if found.first is not None:
            first = call("assumeNotNull", found.first)
            numbers[FIRST] = call("greatest", first, self.limits[0].copy()) if self.limits else first
        if found.last is not None:
            last = call("assumeNotNull", found.last)
            numbers[LAST] = call("least", last, self.limits[1].copy()) if self.limits else last
        if self.limits is None:
            numbers[HERE] = call("assumeNotNull", self._number(moment))
        return numbers

    def _number(self, moment: exp.Expr) -> exp.Expr:
        """The number of the point of the series in which a moment lies."""
        return (self.overlap or self.grain).number(moment)

    def _unit(self) -> str | None:
        """The cells by which rows can be grouped first."""
        lengths = [each for each in (self.window.trailing, self.window.leading) if isinstance(each, Interval)]
        interval = self.renderer.interval(self.time.dimension)
        grains = [self.grain, *([self.to_date] if self.to_date is not None else [])]
        return cell_unit(grains, [*lengths, *([interval] if interval is not None else [])])

    def _limits(self) -> tuple[exp.Expr, exp.Expr] | None:
        """The numbers of the first and last bucket of the question's range."""
        if self.time.range is None:
            return None
        first, last = ends(self.time.range)
        self.renderer.checks.append(Span(first, last, self.bucket))
        parameters, numbers = self.renderer.parameters, self.overlap or self.grain
        return numbers.number_of(first, parameters), numbers.number_of(last, parameters)

    def spread(self, body: Body, reached: Mapping[str, exp.Expr], functions: Mapping[str, str]) -> Body:
        """The states of `body`, grouped by its dimensions and what they reach, merged for each bucket."""
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(body.natives)]
        outputs += [named(value, f"s{index}") for index, value in enumerate(body.values.values())]
        outputs += [named(key.copy(), name) for name, key in reached.items()]
        states = grouped(outputs, body.source, [*body.natives, *(exp.column(name) for name in reached)])
        source = from_(states, "states")
        first, last = self._ends(states, reached)
        kept = [column(f"d{index}", "states") for index in range(len(body.natives))]
        kept += [column(f"s{index}", "states") for index in range(len(body.values))]
        buckets = _range(first, last) if self.limits else _bounded_range(first, last)
        source.set("expressions", [*kept, named(call("arrayJoin", buckets), BUCKET)])
        merged: dict[str, exp.Expr] = {
            name: call(f"{functions[name]}Merge", column(f"s{index}", "rolled"))
            for index, name in enumerate(body.values)
        }
        return self._body(merged, from_(source, "rolled"))

    def _ends(self, states: exp.Select, reached: Mapping[str, exp.Expr]) -> tuple[exp.Expr, exp.Expr]:
        """The first and last bucket of each state; without a range the series ends where the rows do."""
        if self.unit is not None:
            cell, interval = self._cell(self.unit), self.renderer.interval(self.time.dimension)
            numbers = self._numbers(local_of(cell, column(CELL, "states"), interval))
            here = self._numbers(local_of(cell, exp.column(CELL), interval)).get(HERE)
        else:
            numbers = {name: column(name, "states") for name in reached}
            here = exp.column(HERE)
        if self.limits is not None:
            return numbers.get(FIRST) or self.limits[0].copy(), numbers.get(LAST) or self.limits[1].copy()
        for name, function in (("lo", "min"), ("hi", "max")):
            over = exp.Window(this=call(function, (here or exp.null()).copy()))
            states.append("expressions", named(over, name))
        low, high = column("lo", "states"), column("hi", "states")
        first, last = numbers.get(FIRST), numbers.get(LAST)
        return (call("greatest", first, low) if first else low), (call("least", last, high) if last else high)

    def _body(self, values: dict[str, exp.Expr], source: exp.Select) -> Body:
        bucket = column(BUCKET, "rolled")
        if self.overlap is not None:
            source = where(source, [self.overlap.holds(bucket)])
        natives: list[exp.Expr] = []
        for each in self.renderer.plan.dimensions:
            if each in self.others:
                natives.append(column(f"d{self.others.index(each)}", "rolled"))
            else:
                natives.append(self._start(each, bucket))
        return Body(natives, values, source)

    def _start(self, each: BoundDimension, bucket: exp.Expr) -> exp.Expr:
        if self.overlap is not None:
            return wall_bucket(wall_of(bucket), each.granularity or "day", each.custom)
        start = self.grain.start(bucket.copy())
        if each is self.finest:
            return start
        if self.grain.dated:
            start = call("toDateTime64", start, number(3), text("UTC"))
        return wall_bucket(start, each.granularity or "day", each.custom)

    def series(self) -> Body:
        """Every bucket of the range, or from the first row to the last."""
        if self.limits is not None:
            source = exp.Select(expressions=[named(call("arrayJoin", _range(*self.limits)), BUCKET)])
            return self._body({}, from_(source, "rolled"))
        self.renderer.current = self.part
        rows = where(
            self.renderer.sources.joined(self.part.tree),
            [*self.renderer.conditions(self.part), *self.conditions()],
        )
        here = self._number(self.moment)
        rows.set("expressions", [named(call("min", here), "lo"), named(call("max", here.copy()), "hi")])
        first = call("ifNull", column("lo", "seen"), call("toInt64", number(0)))
        last = call("ifNull", column("hi", "seen"), call("toInt64", number(-1)))
        source = from_(rows, "seen")
        source.set("expressions", [named(call("arrayJoin", _bounded_range(first, last)), BUCKET)])
        return self._body({}, from_(source, "rolled"))


def _range(first: exp.Expr, last: exp.Expr) -> exp.Expr:
    """The numbers from first to last."""
    return call("range", first, exp.Add(this=last, expression=number(1)))


def _bounded_range(first: exp.Expr, last: exp.Expr) -> exp.Expr:
    """The same where nobody has looked yet how many they are; too many are refused."""
    too_long = exp.GT(this=exp.Sub(this=last.copy(), expression=first.copy()), expression=number(MAX_BUCKETS))
    problem = text(f"A series of more than {MAX_BUCKETS} buckets is asked for")
    end = exp.Add(this=exp.Add(this=last, expression=number(1)), expression=call("throwIf", too_long, problem))
    return call("range", first, end)
