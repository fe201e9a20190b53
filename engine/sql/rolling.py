"""A rolling window as SQL: the buckets that a row reaches, and the rows of one spread over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import Unanswerable
from engine.plan.nodes import Part
from engine.query.bound import BoundDimension
from engine.sql.clauses import Body, column, from_, grouped, named, where
from engine.sql.series import MAX_BUCKETS, Grain, Span, finest, grain_of, pruning, reach, single_window, wall_parameter
from engine.sql.time import call, number, text, wall_bucket

if TYPE_CHECKING:
    from engine.sql.render import Renderer

FIRST, LAST, HERE, BUCKET = "first_bucket", "last_bucket", "own_bucket", "bucket"


class Rolling:
    """The window of one part along the time of its question."""

    def __init__(self, renderer: Renderer, part: Part) -> None:
        time, window = renderer.plan.query.time, part.scope.window
        assert time is not None and window is not None
        self.renderer, self.part, self.time, self.window = renderer, part, time, window
        rolling = [each for each in renderer.plan.dimensions if each.dimension is time.dimension and each.granularity]
        self.others = [each for each in renderer.plan.dimensions if each not in rolling]
        self.grained = bool(rolling)
        self.finest = finest(rolling) if rolling else None
        self.grain: Grain | None = grain_of(self.finest.granularity or "day", self.finest.custom) if self.finest else None
        self.to_date = self._to_date()

    def _to_date(self) -> Grain | None:
        name = self.window.granularity
        if self.window.kind != "to_date" or name is None:
            return None
        custom = self.time.dimension.granularities.get(name)
        if custom is None and name not in ("second", "minute", "hour", "day", "week", "month", "quarter", "year"):
            raise Unanswerable(f"'{self.time.dimension.full_name}' has no granularity '{name}' to roll to date.")
        return grain_of(name, custom)

    @property
    def moment(self) -> exp.Expr:
        """The wall time under which a row counts."""
        return self.renderer.moment(self.time.dimension)

    def single(self) -> list[exp.Expr]:
        """The conditions of one window around the whole range of the question."""
        assert self.time.range is not None
        return single_window(self.window, self.time.range, self.moment, self.to_date, self.renderer.parameters)

    def conditions(self) -> list[exp.Expr]:
        """The rows that any bucket can reach."""
        assert self.grain is not None
        present = exp.Not(this=exp.Is(this=self.renderer.member(self.time.dimension.full_name), expression=exp.Null()))
        found: list[exp.Expr] = [present]
        range_ = self.time.range
        if range_ is None:
            return found
        if self.time.dimension.full_name not in dict(self.part.scope.shifts):
            bare = self.renderer.member(self.time.dimension.full_name)
            zone, parameters = self.renderer.zone, self.renderer.parameters
            found += pruning(range_, bare, self.window, self.grain, zone, parameters)
        if self.window.kind == "running":
            start = wall_parameter(range_.values[0] or "", self.renderer.parameters)
            found.append(exp.GTE(this=self.moment, expression=start))
        return found

    def keys(self) -> dict[str, exp.Expr]:
        """What of a row decides its buckets, by column; the limits of the series are already in it where known."""
        assert self.grain is not None
        found = reach(self.window, self.grain, self.moment, self.to_date)
        limits = self._limits()
        keys: dict[str, exp.Expr] = {}
        if found.first is not None:
            first = call("assumeNotNull", found.first)
            keys[FIRST] = call("greatest", first, limits[0]) if limits else first
        if found.last is not None:
            last = call("assumeNotNull", found.last)
            keys[LAST] = call("least", last, limits[1]) if limits else last
        if limits is None:
            keys[HERE] = call("assumeNotNull", self.grain.number(self.moment))
        return keys

    def _limits(self) -> tuple[exp.Expr, exp.Expr] | None:
        """The numbers of the first and last bucket of the question's range."""
        range_, grain = self.time.range, self.grain
        if range_ is None or grain is None:
            return None
        first, last = range_.values[0], range_.values[-1]
        self.renderer.checks.append(Span(first, last, grain))
        parameters = self.renderer.parameters
        return grain.number(wall_parameter(first or "", parameters)), grain.number(wall_parameter(last or "", parameters))

    def spread(self, body: Body, reached: Mapping[str, exp.Expr], functions: Mapping[str, str]) -> Body:
        """The states of `body`, grouped by its dimensions and what they reach, merged for each bucket."""
        outputs = [named(native.copy(), f"d{index}") for index, native in enumerate(body.natives)]
        outputs += [named(value, f"s{index}") for index, value in enumerate(body.values.values())]
        outputs += [named(key.copy(), name) for name, key in reached.items()]
        states = grouped(outputs, body.source, [*body.natives, *reached.values()])
        limits = self._limits() or self._seen(states)
        source = from_(states, "states")
        first = call("greatest", column(FIRST, "states"), limits[0]) if FIRST in reached else limits[0]
        last = call("least", column(LAST, "states"), limits[1]) if LAST in reached else limits[1]
        kept = [column(f"d{index}", "states") for index in range(len(body.natives))]
        kept += [column(f"s{index}", "states") for index in range(len(body.values))]
        buckets = named(call("arrayJoin", _range(first, last)), BUCKET)
        source.set("expressions", [*kept, buckets])
        merged = {
            name: call(f"{functions[name]}Merge", column(f"s{index}", "rolled"))
            for index, name in enumerate(body.values)
        }
        return self._body(merged, from_(source, "rolled"))

    def _seen(self, states: exp.Select) -> tuple[exp.Expr, exp.Expr]:
        """The first and last bucket in which there is a row, for a question without a range."""
        for name, function in (("lo", "min"), ("hi", "max")):
            over = exp.Window(this=call(function, exp.column(HERE)))
            states.append("expressions", named(over, name))
        return column("lo", "states"), column("hi", "states")

    def _body(self, values: dict[str, exp.Expr], source: exp.Select) -> Body:
        bucket = column(BUCKET, "rolled")
        natives: list[exp.Expr] = []
        for each in self.renderer.plan.dimensions:
            if each in self.others:
                natives.append(column(f"d{self.others.index(each)}", "rolled"))
            else:
                natives.append(self._start(each, bucket))
        return Body(natives, values, source)

    def _start(self, each: BoundDimension, bucket: exp.Expr) -> exp.Expr:
        assert self.grain is not None
        start = self.grain.start(bucket.copy())
        if each is self.finest:
            return start
        if self.grain.dated:
            start = call("toDateTime64", start, number(3), text("UTC"))
        return wall_bucket(start, each.granularity or "day", each.custom)

    def series(self) -> Body:
        """Every bucket of the range, or from the first row to the last."""
        assert self.grain is not None
        limits = self._limits()
        if limits is not None:
            source = exp.Select(expressions=[named(call("arrayJoin", _range(*limits)), BUCKET)])
            return self._body({}, from_(source, "rolled"))
        self.renderer.current = self.part
        rows = where(
            self.renderer.sources.joined(self.part.tree),
            [*(self.renderer.where.tree(each) for each in self.part.where), *self.conditions()],
        )
        here = self.grain.number(self.moment)
        rows.set("expressions", [named(call("min", here), "lo"), named(call("max", here.copy()), "hi")])
        first = call("ifNull", column("lo", "seen"), call("toInt64", number(0)))
        last = call("ifNull", column("hi", "seen"), call("toInt64", number(-1)))
        source = from_(rows, "seen")
        source.set("expressions", [named(call("arrayJoin", _range(first, last)), BUCKET)])
        return self._body({}, from_(source, "rolled"))


def _range(first: exp.Expr, last: exp.Expr) -> exp.Expr:
    """The numbers from first to last; too many are refused."""
    too_long = exp.GT(this=exp.Sub(this=last.copy(), expression=first.copy()), expression=number(MAX_BUCKETS))
    problem = text(f"A series of more than {MAX_BUCKETS} buckets is asked for")
    end = exp.Add(this=exp.Add(this=last, expression=number(1)), expression=call("throwIf", too_long, problem))
    return call("range", first, end)
