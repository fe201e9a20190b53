"""What the answer to a question is, worked out row by row in plain Python: nothing here is shared with the planner.

Each measure is computed on its own. The rows of its cube are joined as declared (LEFT JOIN, nested loops), filtered,
and grouped; in each group every row of the measure's cube counts once, however often the joins repeat it. Groups of
several measures are put side by side, NULL being a group like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Joined = dict[str, Row | None]


@dataclass(frozen=True)
class Edge:
    """LEFT JOIN from `parent` to `child` where `left` of the one equals `right` of the other."""

    parent: str
    child: str
    left: str
    right: str
    to_many: bool


@dataclass(frozen=True)
class Dim:
    """`column` of `cube`; `via` is the cube in which the dimension is declared, if that is another one."""

    cube: str
    column: str
    kind: str = "string"
    via: str | None = None


@dataclass(frozen=True)
class Meas:
    """An aggregate over a column of a cube, perhaps only of rows for which `only` holds."""

    cube: str
    kind: str
    column: str | None = None
    only: Callable[[Row], bool] | None = None


@dataclass(frozen=True)
class Model:
    """Cubes (name → primary key), their edges in order of declaration, and members."""

    keys: dict[str, tuple[str, ...]]
    edges: tuple[Edge, ...]
    dims: dict[str, Dim]
    measures: dict[str, Meas]
    ratios: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cond:
    """One filter."""

    member: str
    operator: str
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Group:
    """Filters joined by and / or."""

    operator: str
    parts: tuple[Cond | Group, ...]


@dataclass(frozen=True)
class Ask:
    """A question."""

    measures: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    times: tuple[tuple[str, str | None, tuple[str, str] | None], ...] = ()
    where: tuple[Cond | Group, ...] = ()
    having: tuple[Cond | Group, ...] = ()
    zone: str = "UTC"


class NoWay(Exception):
    """The cubes cannot be joined."""


class Oracle:
    """A model over small tables."""

    def __init__(self, model: Model, tables: dict[str, list[Row]]) -> None:
        self.model = model
        self.tables = tables

    def answer(self, ask: Ask) -> list[tuple[Any, ...]]:
        """The rows, in no order: dimensions, buckets, measures."""
        leaves = list(
            dict.fromkeys(leaf for name in (*ask.measures, *_members(ask.having)) for leaf in self._leaves(name))
        )
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        if not leaves:
            for row in self._rows(None, ask, alone=True):
                groups.setdefault(self._key(row, ask), {})
        facts = {self.model.measures[leaf].cube for leaf in leaves}
        for leaf in leaves:
            for key, value in self._measure(leaf, ask, alone=len(facts) == 1).items():
                groups.setdefault(key, {})[leaf] = value
        if not ask.dims and not any(grain for _, grain, _ in ask.times) and leaves:
            groups.setdefault((), {})
        return [row for key, values in groups.items() for row in self._row(key, values, ask)]

    def _row(self, key: tuple[Any, ...], values: dict[str, Any], ask: Ask) -> list[tuple[Any, ...]]:
        def test(cond: Cond) -> bool:
            return _compare(cond, self._value(cond.member, values), "number", ask.zone)

        kept = all(_holds(tree, test) for tree in ask.having)
        return [(*key, *(self._value(name, values) for name in ask.measures))] if kept else []

    def _leaves(self, name: str) -> tuple[str, ...]:
        return self.model.ratios.get(name, (name,))

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        if name in self.model.ratios:
            top, bottom = (self._value(each, values) for each in self.model.ratios[name])
            return None if top is None or not bottom else top / bottom
        counted = self.model.measures[name].kind in ("count", "count_distinct")
        return values.get(name, 0 if counted else None)

    def _measure(self, name: str, ask: Ask, *, alone: bool) -> dict[tuple[Any, ...], Any]:
        measure = self.model.measures[name]
        groups: dict[tuple[Any, ...], dict[int, Row]] = {}
        for row in self._rows(measure.cube, ask, alone=alone):
            own = groups.setdefault(self._key(row, ask), {})
            fact = row[measure.cube]
            if fact is not None:
                own[id(fact)] = fact
        return {key: _aggregate(measure, rows.values()) for key, rows in groups.items()}

    def _rows(self, fact: str | None, ask: Ask, *, alone: bool) -> list[Joined]:
        wanted = [fact] if fact else []
        for name in (*ask.dims, *(time for time, grain, _ in ask.times if grain)):
            wanted += self._cubes(name)
        where = [*ask.where, *(Cond(name, "inDateRange", span) for name, _, span in ask.times if span)]
        used = self._concerning(wanted, where, fact, alone=alone)
        tree = self._tree(
            [*wanted, *(cube for tree in used for name in _members([tree]) for cube in self._cubes(name))], fact
        )
        rows: list[Joined] = [{tree[0]: row} for row in self.tables[tree[0]]]
        for edge in tree[1]:
            rows = [joined for row in rows for joined in self._joined(row, edge)]
        return [row for row in rows if self._passes(row, used, ask)]

    def _passes(self, row: Joined, trees: list[Any], ask: Ask) -> bool:
        return all(_holds(tree, lambda cond: self._test(cond, row, ask)) for tree in trees)

    def _concerning(self, wanted: list[str], where: list[Any], fact: str | None, *, alone: bool) -> list[Any]:
        """With several facts, a filter that one of them cannot be joined to does not concern it."""
        if alone:
            return where
        used: list[Any] = []
        for tree in where:
            cubes = [cube for each in [*used, tree] for name in _members([each]) for cube in self._cubes(name)]
            try:
                self._tree([*wanted, *cubes], fact)
            except NoWay:
                continue
            used.append(tree)
        return used

    def _joined(self, row: Joined, edge: Edge) -> list[Joined]:
        parent = row[edge.parent]
        key = parent[edge.left] if parent else None
        partners = [other for other in self.tables[edge.child] if key is not None and other[edge.right] == key]
        return [{**row, edge.child: other} for other in partners] or [{**row, edge.child: None}]

    def _cubes(self, name: str) -> list[str]:
        dim = self.model.dims[name]
        return [dim.via, dim.cube] if dim.via else [dim.cube]

    def _tree(self, cubes: Sequence[str], fact: str | None) -> tuple[str, list[Edge]]:
        """Fewest edges; then the fact as root; then fewest edges to many; then the root named first."""
        best: tuple[tuple[int, bool, int], str, list[Edge]] | None = None
        for root in dict.fromkeys(cubes):
            edges = self._edges(root, cubes)
            if edges is not None:
                rank = (len(edges), root != fact, sum(edge.to_many for edge in edges))
                if best is None or rank < best[0]:
                    best = rank, root, edges
        if best is None:
            raise NoWay(cubes)
        return best[1], best[2]

    def _edges(self, root: str, cubes: Sequence[str]) -> list[Edge] | None:
        came: dict[str, Edge | None] = {root: None}
        queue = [root]
        while queue:
            here = queue.pop(0)
            for edge in self.model.edges:
                if edge.parent == here and edge.child not in came:
                    came[edge.child] = edge
                    queue.append(edge.child)
        needed: set[str] = set()
        for cube in cubes:
            while cube != root:
                if cube not in came:
                    return None
                needed.add(cube)
                cube = came[cube].parent  # type: ignore[union-attr]
        return [edge for name, edge in came.items() if name in needed and edge is not None]

    def _key(self, row: Joined, ask: Ask) -> tuple[Any, ...]:
        plain = [self._shown(row, name, ask) for name in ask.dims]
        buckets = [_bucket(self._raw(row, name), grain, ask.zone) for name, grain, _ in ask.times if grain]
        return (*plain, *buckets)

    def _raw(self, row: Joined, name: str) -> Any:
        dim = self.model.dims[name]
        found = row[dim.cube]
        return None if found is None else found[dim.column]

    def _shown(self, row: Joined, name: str, ask: Ask) -> Any:
        value = self._raw(row, name)
        return _bucket(value, "none", ask.zone) if self.model.dims[name].kind == "time" else value

    def _test(self, cond: Cond, row: Joined, ask: Ask) -> bool:
        return _compare(cond, self._raw(row, cond.member), self.model.dims[cond.member].kind, ask.zone)


def _members(trees: Iterable[Any]) -> list[str]:
    found: list[str] = []
    for tree in trees:
        found += _members(tree.parts) if isinstance(tree, Group) else [tree.member]
    return found


def _holds(tree: Any, test: Callable[[Cond], bool]) -> bool:
    if isinstance(tree, Group):
        results = [_holds(part, test) for part in tree.parts]
        return all(results) if tree.operator == "and" else any(results)
    return test(tree)


def _compare(cond: Cond, value: Any, kind: str, zone: str) -> bool:
    null = None in cond.values
    wanted = [_read(text, kind, zone) for text in cond.values if text is not None]
    operator = cond.operator
    if operator == "set":
        return value is not None
    if operator == "notSet":
        return value is None
    if operator in ("equals", "in"):
        return value in wanted if value is not None else null
    if operator in ("notEquals", "notIn"):
        return value not in wanted if value is not None else not null
    if operator.startswith("not") and operator != "notInDateRange":
        found = any(_like(operator[3:].lower(), str(value), str(each)) for each in wanted)
        return not found if value is not None else not null
    if operator.lower() in ("contains", "startswith", "endswith"):
        return any(_like(operator.lower(), str(value), str(each)) for each in wanted) if value is not None else null
    if value is None:
        return False
    if operator in ("inDateRange", "notInDateRange"):
        local = value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        inside = _local(cond.values[0]) <= local <= _local(cond.values[1])
        return inside if operator == "inDateRange" else not inside
    return {  # type: ignore[no-any-return]
        "gt": lambda: value > wanted[0],
        "gte": lambda: value >= wanted[0],
        "lt": lambda: value < wanted[0],
        "lte": lambda: value <= wanted[0],
    }[operator]()


def _like(operator: str, value: str, part: str) -> bool:
    value, part = value.lower(), part.lower()
    return {"contains": part in value, "startswith": value.startswith(part), "endswith": value.endswith(part)}[operator]


def _read(text: str, kind: str, zone: str) -> Any:
    if kind == "number":
        return float(text) if "." in text else int(text)
    if kind == "boolean":
        return text == "true"
    return text


def _local(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "")


def _bucket(value: datetime | None, grain: str | None, zone: str) -> str | None:
    if value is None:
        return None
    local = value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "none": local,
        "second": local.replace(microsecond=0),
        "minute": local.replace(second=0, microsecond=0),
        "hour": local.replace(minute=0, second=0, microsecond=0),
        "day": midnight,
        "week": midnight - timedelta(days=midnight.weekday()),
        "month": midnight.replace(day=1),
        "quarter": midnight.replace(day=1, month=(midnight.month - 1) // 3 * 3 + 1),
        "year": midnight.replace(day=1, month=1),
    }
    return starts[grain or "none"].isoformat(timespec="milliseconds")


def _aggregate(measure: Meas, rows: Iterable[Row]) -> Any:
    chosen = [row for row in rows if measure.only is None or measure.only(row)]
    if measure.kind == "count" and measure.column is None:
        return len(chosen)
    values = [row[measure.column] for row in chosen if row[measure.column] is not None]  # type: ignore[index]
    if measure.kind == "count":
        return len(values)
    if measure.kind == "count_distinct":
        return len(set(values))
    if not values:
        return None
    return {"sum": sum(values), "avg": sum(values) / len(values), "min": min(values), "max": max(values)}[measure.kind]
