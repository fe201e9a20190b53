"""Hints between nodes: «this session's log grew», «answers came», «who is there». Losing one is harmless.

Deliver is called for every notice of every node, the sender's own included. A notice is small and rare (a command, or
at most four a second for a room), so one channel carries all rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from msgspec import Struct

from realtime.protocol import Present


class Notice(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """A hint about one session from one node."""

    session_id: int
    node: str


class LogGrew(Notice, frozen=True, tag="log"):
    """The log reaches to `off`."""

    off: int


class AnswersCame(Notice, frozen=True, tag="answers"):
    """The histogram has changed."""


class PeopleHere(Notice, frozen=True, tag="people"):
    """The pupils and teachers on this node; `ask` wants the other nodes to tell theirs."""

    people: tuple[Present, ...]
    teachers: tuple[Present, ...] = ()
    ask: bool = False


class PeopleChanged(Notice, frozen=True, tag="kicked"):
    """Somebody was sent out, or may come back."""


AnyNotice: TypeAlias = LogGrew | AnswersCame | PeopleHere | PeopleChanged
Deliver: TypeAlias = Callable[[AnyNotice], None]


class Broker(Protocol):
    """Carries notices between nodes, without a promise."""

    async def start(self, deliver: Deliver) -> None:
        """Begin to deliver; does not fail when the broker is away."""
        ...

    async def publish(self, notice: AnyNotice) -> None:
        """Send to every node; never raises, never waits long."""
        ...

    @property
    def up(self) -> bool:
        """Whether notices are believed to arrive."""
        ...

    async def stop(self, deliver: Deliver) -> None:
        """Deliver no more to this receiver."""
        ...


class LocalBroker:
    """All hubs of one process; the twin of the Valkey broker."""

    up = True

    def __init__(self) -> None:
        self._receivers: list[Deliver] = []

    async def start(self, deliver: Deliver) -> None:
        """Add a receiver."""
        self._receivers.append(deliver)

    async def publish(self, notice: AnyNotice) -> None:
        """Deliver at once."""
        for deliver in list(self._receivers):
            deliver(notice)

    async def stop(self, deliver: Deliver) -> None:
        """Remove a receiver."""
        self._receivers.remove(deliver)
