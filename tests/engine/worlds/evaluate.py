"""The answer to a question: each aggregate alone over the rows of its cube, put side by side, NULL = NULL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from tests.engine.worlds import terms
from tests.engine.worlds.asks import Ask, Cond, Group, Named, Path, Time, Tree, conds, is_measure
from tests.engine.worlds.clock import bucket, shown, wall
from tests.engine.worlds.conditions import holds, meets
from tests.engine.worlds.folding import folded
from tests.engine.worlds.rows import Joined, Row, Rows
from tests.engine.worlds.stages import FOLDS, added, gathered, keeps, narrowed, picked, shifts, without
from tests.engine.worlds.terms import Term
from tests.engine.worlds.trees import NoWay, Refused, join_tree
from tests.engine.worlds.windows import Bucket, frame, series, series_time, without_range
from tests.engine.worlds.world import Dim, Meas

FORMULAS = ("number", "string", "time", "boolean")
Key = tuple[Any, ...]
Values = dict[Key, Any]


@dataclass(frozen=True)
class Leaf:
    """One aggregate: of a measure, or an expression `function(term)` inside a formula."""

    cube: str
    path: Path
    kind: str
    term: Term | None
    filters: tuple[Term, ...]
    window: dict[str, str] | None = None
    stage: Named | None = None

    def __hash__(self) -> int:
        return hash(repr(self))


class Oracle(Rows):
    """A world, asked by one caller."""

    rolls = gapped = False

    def answer(self, ask: Ask) -> list[Key]:
        """The rows, in no order: dimensions, buckets, measures."""
        if ask.ungrouped:
            return self._ungrouped(ask)
        self._check_mixed(ask)
        self.gapped = bool(ask.buckets)
        self.rolls = series_time(self.world, ask) is not None
        names = [*ask.measures, *(cond.member for cond in conds(ask.having) if is_measure(self.world, cond.member))]
        leaves = list(dict.fromkeys(leaf for name in names for leaf in self.leaves(name)))
        facts = {leaf.cube for leaf in leaves}
        groups: dict[Key, dict[Leaf, Any]] = {}
        if not leaves:
            for row in self._rows(None, [], ask, alone=True):
                groups.setdefault(self.key(row, ask), {})
        self._some_fact_knows(ask, leaves, len(facts))
        for leaf in leaves:
            for key, value in self.cells(leaf, ask, alone=len(facts) == 1).items():
                groups.setdefault(key, {})[leaf] = value
        if not ask.dims and not ask.buckets and leaves:
            groups.setdefault((), {})
        rows = [(key, values) for key, values in groups.items() if self._kept(key, values, ask)]
        return [(*key, *(self.measure(name, values, ask) for name in ask.measures)) for key, values in rows]

    def _check_mixed(self, ask: Ask) -> None:
        asked = {member.full for member in ask.dims}
        for cond in conds(ask.having):
            if not is_measure(self.world, cond.member) and cond.member.full not in asked:
                raise Refused("a dimension beside a measure in one condition, which is not asked for")

    # --- leaves and formulas ---

    def leaves(self, name: Named) -> list[Leaf]:
        """The aggregates of a measure."""
        measure = self._meas(name)
        if measure.more.get("multi_stage"):
            return [self._leaf(name, measure)]
        if measure.type in FORMULAS:
            assert measure.term is not None
            return [leaf for term in terms.walk(measure.term) for leaf in self._leaves_in(term, name)]
        return [self._leaf(name, measure)]

    def _leaves_in(self, term: Term, name: Named) -> list[Leaf]:
        if term[0] == "measure":
            return self.leaves(self._inner(term[1], name))
        return [self._raw(term, name)] if term[0] == "aggregate" else []

    def _inner(self, reference: str, name: Named) -> Named:
        *way, short = reference.split(".")
        cube = way[-1] if way else name.cube
        return Named(name.path if cube == name.cube else (cube,), cube, short)

    def _leaf(self, name: Named, measure: Meas) -> Leaf:
        if measure.more.get("multi_stage"):
            return Leaf(name.cube, name.path, "stage", None, (), None, name)
        return Leaf(name.cube, name.path, measure.type, measure.term, tuple(measure.filters), self._window(measure))

    def _window(self, measure: Meas) -> dict[str, str] | None:
        """Without a time in the question, a rolling measure is a plain one."""
        return measure.more.get("rolling_window") if self.rolls else None

    def _raw(self, term: Term, name: Named) -> Leaf:
        return Leaf(name.cube, name.path, term[1], term[2], ())

    def _meas(self, name: Named) -> Meas:
        return self.world.cubes[name.cube].measures[name.name]

    def measure(self, name: Named, values: dict[Leaf, Any], ask: Ask) -> Any:
        """The measure's value over those of its leaves."""
        found = self._value(name, values)
        return shown(wall(found, ask.zone)) if isinstance(found, date) else found

    def _value(self, name: Named, values: dict[Leaf, Any]) -> Any:
        measure = self._meas(name)
        if measure.type not in FORMULAS or measure.more.get("multi_stage"):
            return self._filled(self._leaf(name, measure), values)

        def see(term: Term) -> Any:
            if term[0] == "aggregate":
                return values.get(self._raw(term, name))
            return self._value(self._inner(term[1], name), values)

        assert measure.term is not None
        return terms.evaluate(measure.term, see)

    def _filled(self, leaf: Leaf, values: dict[Leaf, Any]) -> Any:
        """Where a group has no rows a count is 0; where a window of a series has none, only a distinct count is."""
        zero = self._zero(leaf)
        return values.get(leaf, 0 if zero else None)

    def _zero(self, leaf: Leaf) -> bool:
        if leaf.stage is not None:
            stage = self._meas(leaf.stage)
            inner = self.leaves(self._inner((stage.term or ["", ""])[1], leaf.stage))
            return stage.type == "count" or (stage.type == "number" and self._zero(inner[0]))
        return leaf.kind == "count_distinct" or (leaf.kind == "count" and not (leaf.window and self.gapped))

    # --- groups ---

    def cells(self, leaf: Leaf, ask: Ask, *, alone: bool) -> Values:
        """The leaf's value in each group."""
        if leaf.stage is not None:
            return self._staged(leaf.stage, ask)
        time = series_time(self.world, ask) if leaf.window else None
        if leaf.window is not None and time is not None:
            return self._windows(leaf, leaf.window, time, ask, alone=alone)
        groups: dict[Key, list[Joined]] = {}
        for row in self._rows(leaf.cube, self._leaf_paths(leaf), ask, alone=alone):
            groups.setdefault(self.key(row, ask), []).append(row)
        return {key: self.aggregate(leaf, rows, ask) for key, rows in groups.items()}

    def _windows(self, leaf: Leaf, window: dict[str, str], time: Time, ask: Ask, *, alone: bool) -> Values:
        """The leaf's value over the window of each point of the series; the range of its time filters no row."""
        bare = without_range(ask, time)
        plain = replace(bare, times=tuple(each for each in bare.times if each.member != time.member))
        listed = [*self._leaf_paths(leaf), *self.paths(time.member), *self._asked_paths(plain)]
        where = self.concerning(listed, leaf.cube, bare, alone=alone)
        rows = [
            (wall(moment, ask.zone), self.key(row, plain), row)
            for row in self.joined(listed, leaf.cube, where, ask.zone, ask)
            if (moment := self.asked(time.member, row, ask)) is not None
        ]
        grains = self.world.cubes[time.member.cube].dims[time.member.name].granularities
        groups: dict[Key, list[Joined]] = {}
        beside = {each.grain or "" for each in ask.buckets if each.member == time.member} - set(grains)
        for point in series([moment for moment, _, _ in rows], time, grains, beside):
            inside = frame(window, point, time.grain, grains.get(time.grain or ""))
            if not plain.dims and not plain.buckets:
                groups.setdefault(self._point(point, (), time, ask), [])
            for moment, key, row in rows:
                if inside(moment):
                    groups.setdefault(self._point(point, key, time, ask), []).append(row)
        if time.grain is None:
            return {key: self.aggregate(leaf, own, ask) for key, own in groups.items()}
        return {
            key: self.aggregate(leaf, own, ask) if own or leaf.kind == "count_distinct" else None
            for key, own in groups.items()
        }

    def _point(self, point: Bucket, key: Key, time: Time, ask: Ask) -> Key:
        """The key of a group with the point of the series in the place of its time."""
        others = iter(key[len(ask.dims) :])
        grains = self.world.cubes[time.member.cube].dims[time.member.name].granularities
        buckets = (
            shown(bucket(point.start, each.grain or "", grains.get(each.grain or "")))
            if each.member == time.member
            else next(others)
            for each in ask.buckets
        )
        return (*key[: len(ask.dims)], *buckets)

    def _leaf_paths(self, leaf: Leaf) -> list[Path]:
        listed = [leaf.term, *leaf.filters]
        return [leaf.path, *(path for term in listed if term is not None for path in self.within(leaf.cube, term))]

    def aggregate(self, leaf: Leaf, rows: list[Joined], ask: Ask) -> Any:
        """Over each row of the cube once, however often the joins repeat it."""
        once: dict[tuple[int, Any], Any] = {}
        for row in rows:
            own = row[leaf.cube]
            if own is not None and all(self.term(each, leaf.cube, row, ask) is True for each in leaf.filters):
                value = True if leaf.term is None else self.term(leaf.term, leaf.cube, row, ask)
                once[id(own), str(value)] = value
        if len({row for row, _ in once}) < len(once) and leaf.kind not in ("min", "max", "count_distinct"):
            raise Refused("a term that has several values for a row")
        return folded(leaf.kind, [value for value in once.values() if value is not None])

    def _rows(self, fact: str | None, own: list[Path], ask: Ask, *, alone: bool) -> list[Joined]:
        listed = [*own, *self._asked_paths(ask)]
        return self.joined(listed, fact, self.concerning(listed, fact, ask, alone=alone), ask.zone, ask)

    def _asked_paths(self, ask: Ask) -> list[Path]:
        members = [*ask.dims, *(time.member for time in ask.buckets)]
        return [path for member in members for path in self.paths(member)]

    def concerning(self, paths: list[Path], fact: str | None, ask: Ask, *, alone: bool) -> list[Tree]:
        """With several facts, a filter that one of them cannot be joined to does not concern it."""
        if alone or self._reaches(paths, fact, list(ask.where)):
            return list(ask.where)
        used: list[Tree] = []
        for tree in ask.where:
            if self._reaches(paths, fact, [*used, tree]):
                used.append(tree)
        return used

    def _reaches(self, paths: list[Path], fact: str | None, trees: list[Tree]) -> bool:
        try:
            join_tree(self.world, [*paths, *(way for cond in conds(trees) for way in self.paths(cond.member))], fact)
        except NoWay:
            return False
        return True

    def _some_fact_knows(self, ask: Ask, leaves: list[Leaf], facts: int) -> None:
        for tree in ask.where if facts > 1 else ():
            ways = [[*self._leaf_paths(leaf), *self._asked_paths(ask)] for leaf in leaves]
            used = (self.concerning(own, leaf.cube, ask, alone=False) for own, leaf in zip(ways, leaves, strict=True))
            if not any(tree in each for each in used):
                raise NoWay(tree)

    def key(self, row: Joined, ask: Ask) -> Key:
        """The group of a row."""
        plain = [self._shown(member, row, ask) for member in ask.dims]
        return (*plain, *(self._bucket(time.member, time.grain or "", row, ask) for time in ask.buckets))

    def _shown(self, member: Named, row: Joined, ask: Ask) -> Any:
        value = self.asked(member, row, ask)
        return shown(wall(value, ask.zone)) if isinstance(value, date) else value

    def _bucket(self, member: Named, grain: str, row: Joined, ask: Ask) -> str | None:
        value = self.asked(member, row, ask)
        custom = self.world.cubes[member.cube].dims[member.name].granularities.get(grain)
        return None if value is None else shown(bucket(wall(value, ask.zone), grain, custom))

    def _kept(self, key: Key, values: dict[Leaf, Any], ask: Ask) -> bool:
        places = {member.full: place for place, member in enumerate(ask.dims)}

        def test(cond: Cond) -> bool:
            if is_measure(self.world, cond.member):
                return meets(cond, self._value(cond.member, values), "number", ask.zone)
            value, kind = key[places[cond.member.full]], self._dim(cond.member).type
            if kind == "time" and value is not None:
                value = datetime.fromisoformat(value).replace(tzinfo=UTC)
            return meets(cond, value, kind, "UTC" if kind == "time" else ask.zone)

        return all(holds(tree, test) for tree in ask.having)

    def _dim(self, member: Named) -> Dim:
        return self.world.cubes[member.cube].dims[member.name]

    # --- stages ---

    def _staged(self, name: Named, ask: Ask) -> Values:
        """The measure of a measure: that one in a context of its own, brought to the groups that are asked for."""
        stage = self._meas(name)
        assert stage.term is not None
        child, more = self._inner(stage.term[1], name), stage.more
        if "time_shift" in more:
            return self._column(child, replace(ask, moved=ask.moved + shifts(more["time_shift"], ask)))
        if "add_group_by" in more:
            finer = self._column(child, added(ask, [self._member(each, name) for each in more["add_group_by"]]))
            return gathered(stage.type, finer, lambda key: without(key, ask, len(key) - len(ask.buckets)))
        here = self._column(child, ask)
        kept = keeps(more, ask)
        if "reduce_by" in more and stage.type in FOLDS:
            parts = gathered(stage.type, here, lambda key: picked(key, kept))
        else:
            parts = self._column(child, narrowed(ask, kept))
        return {key: parts.get(picked(key, kept)) for key in here}

    def _member(self, reference: str, name: Named) -> Named:
        return self._inner(reference, name)

    def _column(self, name: Named, ask: Ask) -> Values:
        """A measure's value in each group of a context."""
        asked = replace(ask, measures=(name,), having=())
        return {key[:-1]: key[-1] for key in self.answer(asked)}

    # --- the rest ---

    def _ungrouped(self, ask: Ask) -> list[Key]:
        leaves = [leaf for name in ask.measures for leaf in self.leaves(name)]
        paths = [*(path for leaf in leaves for path in self._leaf_paths(leaf)), *self._asked_paths(ask)]
        rows = self.joined(paths, None, ask.where, ask.zone, ask)
        return [(*self.key(row, ask), *(self._plain(name, row, ask) for name in ask.measures)) for row in rows]

    def _plain(self, name: Named, row: Joined, ask: Ask) -> Any:
        leaf = self.leaves(name)[0]
        own = row[leaf.cube]
        if own is None or not all(self.term(each, leaf.cube, row, ask) is True for each in leaf.filters):
            return None
        value = 1 if leaf.term is None else self.term(leaf.term, leaf.cube, row, ask)
        if leaf.kind.startswith("count") and value is not None:
            return 1
        return shown(wall(value, ask.zone)) if isinstance(value, date) else value

    def sub_query(self, member: Named, dim: Dim, row: Row, ask: Ask) -> Any:
        """The measure by the cube's key; where it has no rows, NULL (a count: 0)."""
        cube = self.world.cubes[member.cube]
        keys = tuple(Named((member.cube,), member.cube, name) for name in cube.key)
        where = tuple(self._propagated(ask)) if dim.propagate else ()
        inner = replace(
            ask, measures=(), dims=keys, times=(), where=where, having=(), ungrouped=False, root=member.cube
        )
        name = self._inner(dim.sub_query or "", Named((member.cube,), member.cube, ""))
        found = self._remembered(repr((member, inner)), lambda: self._by_key(name, inner))
        key = tuple(row[each] for each in cube.key)
        return self._value(name, found.get(key, {}))

    def _by_key(self, name: Named, inner: Ask) -> dict[Key, dict[Leaf, Any]]:
        leaves = list(dict.fromkeys(self.leaves(name)))
        found: dict[Key, dict[Leaf, Any]] = {}
        for leaf in leaves:
            for key, value in self.cells(leaf, inner, alone=len({each.cube for each in leaves}) == 1).items():
                found.setdefault(key, {})[leaf] = value
        return found

    def _propagated(self, ask: Ask) -> Iterator[Tree]:
        for tree in ask.where:
            if not any(self._asks_itself(cond.member) for cond in conds([tree])):
                yield tree

    def _asks_itself(self, member: Named) -> bool:
        dim = self.world.cubes[member.cube].dims.get(member.name)
        return dim is not None and dim.sub_query is not None

    def _remembered(self, key: str, work: Callable[[], Any]) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("known", {})
        if key not in known:
            known[key] = work()
        return known[key]


__all__ = ["Group", "NoWay", "Oracle", "Refused"]
