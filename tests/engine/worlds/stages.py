"""Multi-stage measures: the context in which the inner measure is asked, and the way back to the groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.engine.worlds.asks import Ask, Named
from tests.engine.worlds.folding import folded

FOLDS = ("sum", "avg", "min", "max", "count")
Key = tuple[Any, ...]
Values = dict[Key, Any]


def shifts(shifts: list[dict[str, str]], ask: Ask) -> tuple[tuple[Named, str, int], ...]:
    """Each time of the question, moved: `prior` reads what was an interval before, so its rows come later."""
    times = dict.fromkeys(time.member for time in ask.times)
    return tuple(
        (time, each["interval"], 1 if each["type"] == "prior" else -1)
        for each in shifts
        for time in times
        if each.get("time_dimension", time.full) == time.full
    )


def keeps(more: dict[str, Any], ask: Ask) -> list[int]:
    """The places of the columns by which the inner measure is grouped."""
    members = [*ask.dims, *(time.member for time in ask.buckets)]
    if "group_by" in more:
        return [place for place, member in enumerate(members) if member.full in more["group_by"]]
    return [place for place, member in enumerate(members) if member.full not in more.get("reduce_by", ())]


def narrowed(ask: Ask, kept: list[int]) -> Ask:
    """The question by some of its columns; the ranges of its times stay among the conditions."""
    dims = tuple(member for place, member in enumerate(ask.dims) if place in kept)
    buckets = tuple(time for place, time in enumerate(ask.buckets, len(ask.dims)) if place in kept)
    return replace(ask, dims=dims, times=buckets)


def added(ask: Ask, members: list[Named]) -> Ask:
    """The question by more columns."""
    known = {member.full for member in ask.dims}
    return replace(ask, dims=(*ask.dims, *(member for member in members if member.full not in known)))


def picked(key: Key, kept: list[int]) -> Key:
    """Some columns of a key."""
    return tuple(key[place] for place in kept)


def without(key: Key, ask: Ask, end: int) -> Key:
    """The key without the columns that were added after the dimensions."""
    return (*key[: len(ask.dims)], *key[end:])


def gathered(kind: str, values: Values, of: Callable[[Key], Key]) -> Values:
    """The values of several keys as one."""
    groups: dict[Key, list[Any]] = {}
    for key, value in values.items():
        groups.setdefault(of(key), []).append(value)
    return {key: folded(kind, [value for value in own if value is not None]) for key, own in groups.items()}
