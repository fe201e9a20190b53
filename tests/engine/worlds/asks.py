"""A query's JSON, read for plain Python: names are resolved, ranges are wall times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.engine.worlds.clock import TICK
from tests.engine.worlds.world import World

Path = tuple[str, ...]
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Named:
    """A member of a cube and the path of joins that leads to the cube."""

    path: Path
    cube: str
    name: str

    @property
    def full(self) -> str:
        """`cube.member`."""
        return f"{self.cube}.{self.name}"


@dataclass(frozen=True)
class Cond:
    """One filter; a segment is a condition with the operator `segment`."""

    member: Named
    operator: str
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Group:
    """Filters joined by and / or."""

    operator: str
    parts: tuple[Tree, ...]


Tree = Cond | Group


@dataclass(frozen=True)
class Time:
    """A time dimension."""

    column: str
    member: Named
    grain: str | None
    span: Span | None


@dataclass(frozen=True)
class Ask:
    """What is asked."""

    measures: tuple[Named, ...]
    dims: tuple[Named, ...]
    times: tuple[Time, ...]
    where: tuple[Tree, ...]
    having: tuple[Tree, ...]
    zone: str
    ungrouped: bool = False
    moved: tuple[tuple[Named, str, int], ...] = ()
    root: str | None = None

    @property
    def buckets(self) -> tuple[Time, ...]:
        """The time dimensions that group, each column once."""
        found = {time.column: time for time in self.times if time.grain}
        return tuple(found.values())


def read_ask(world: World, query: dict[str, Any]) -> Ask:
    """The question in a query."""

    def named(name: str) -> Named:
        return Named(*world.resolve(name))

    times = tuple(_time(each, named) for each in query.get("timeDimensions", ()))
    trees = [_tree(each, named) for each in query.get("filters", ())]
    where, having = _sorted_out(world, trees)
    spans = [Cond(time.member, "inDateRange", _texts(time.span)) for time in times if time.span]
    segments = [Cond(named(name), "segment") for name in dict.fromkeys(query.get("segments", ()))]
    return Ask(
        measures=tuple(named(name) for name in dict.fromkeys(query.get("measures", ()))),
        dims=tuple(named(name) for name in dict.fromkeys(query.get("dimensions", ()))),
        times=times,
        where=(*where, *spans, *segments),
        having=tuple(having),
        zone=query.get("timezone", "UTC"),
        ungrouped=query.get("ungrouped", False),
    )


def columns(query: dict[str, Any]) -> list[str]:
    """The columns of the answer in order."""
    buckets = [
        f"{each['dimension']}.{each['granularity']}"
        for each in query.get("timeDimensions", ())
        if "granularity" in each
    ]
    return list(dict.fromkeys([*query.get("dimensions", ()), *buckets, *query.get("measures", ())]))


def first_moment(text: str) -> datetime:
    """A date begins at midnight."""
    return datetime.fromisoformat(text)


def last_moment(text: str) -> datetime:
    """A date ends with its last millisecond."""
    return datetime.fromisoformat(text) + (timedelta(days=1) - TICK if len(text) == 10 else timedelta())


def _texts(span: Span) -> tuple[str, str]:
    return span[0].isoformat(timespec="milliseconds"), span[1].isoformat(timespec="milliseconds")


def _time(each: dict[str, Any], named: Any) -> Time:
    span = each.get("dateRange")
    grain = each.get("granularity")
    ends = (first_moment(span[0]), last_moment(span[-1])) if span else None
    return Time(f"{each['dimension']}.{grain}", named(each["dimension"]), grain, ends)


def _tree(each: dict[str, Any], named: Any) -> Tree:
    for operator in ("and", "or"):
        if operator in each:
            return Group(operator, tuple(_tree(part, named) for part in each[operator]))
    return Cond(named(each["member"]), each["operator"], tuple(each.get("values", ())))


def _sorted_out(world: World, trees: list[Tree]) -> tuple[list[Tree], list[Tree]]:
    where: list[Tree] = []
    having: list[Tree] = []
    for tree in trees:
        kinds = {is_measure(world, cond.member) for cond in conds([tree])}
        if len(kinds) > 1 and isinstance(tree, Group) and tree.operator == "and":
            for target, part in zip((where, having), _sorted_out(world, list(tree.parts)), strict=True):
                target += part
        else:
            (having if True in kinds else where).append(tree)
    return where, having


def is_measure(world: World, member: Named) -> bool:
    """Whether it is a measure."""
    return member.name in world.cubes[member.cube].measures


def conds(trees: Any) -> list[Cond]:
    """Every single condition."""
    found: list[Cond] = []
    for tree in trees:
        found += conds(tree.parts) if isinstance(tree, Group) else [tree]
    return found


__all__ = ["Ask", "Cond", "Group", "Named", "Path", "Span", "Time", "Tree", "read_ask", "replace"]
