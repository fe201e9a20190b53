"""Who came and who went since the teachers were told last; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from realtime.protocol import Present, StudentAllowed, StudentJoined, StudentKicked, StudentLeft
from realtime.protocol.told import News

T = TypeVar("T")


@dataclass(frozen=True)
class People:
    """The pupils of a room as its teachers know them: who is here, and the ids of those who were sent out."""

    here: tuple[Present, ...]
    kicked: tuple[int, ...] = ()


def news(before: People | None, now: People) -> Iterator[News]:
    """The frames that lead from one to the other; none where nothing was told yet, for `presence` tells it all."""
    if before is None:
        return
    if came := _without(now.here, before.here):
        yield StudentJoined(students=came)
    if kicked := _without(now.kicked, before.kicked):
        yield StudentKicked(user_ids=kicked)
    if allowed := _without(before.kicked, now.kicked):
        yield StudentAllowed(user_ids=allowed)
    if gone := _without(before.here, now.here):
        yield StudentLeft(students=gone)


def _without(these: Iterable[T], those: Iterable[T]) -> tuple[T, ...]:
    known = frozenset(those)
    return tuple(each for each in these if each not in known)
