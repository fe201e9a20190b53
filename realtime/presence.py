"""Who is in a room, pupils and teachers, over all nodes; pure. A person with several sockets is one person.

Who leaves stays listed for a few seconds, so that a blink of the network does not flicker. Other nodes tell their
people again and again; a node that falls silent is forgotten after a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from realtime.protocol import Present


@dataclass
class Presence:
    """The pupils in one room; times are seconds of one clock."""

    departure_s: float
    node_s: float
    _here: Counter[Present] = field(default_factory=Counter)
    _leaving: dict[Present, float] = field(default_factory=dict)
    _elsewhere: dict[str, tuple[float, frozenset[Present]]] = field(default_factory=dict)

    def enter(self, person: Present) -> None:
        """A socket of the person came to this node."""
        self._here[person] += 1
        self._leaving.pop(person, None)

    def leave(self, person: Present, at: float) -> None:
        """A socket of the person went."""
        self._here[person] -= 1
        if self._here[person] <= 0:
            del self._here[person]
            self._leaving[person] = at + self.departure_s

    def hear(self, node: str, people: Iterable[Present], at: float) -> None:
        """Another node told who is there."""
        self._elsewhere[node] = (at + self.node_s, frozenset(people))

    def here(self, at: float) -> tuple[Present, ...]:
        """Who is on this node at `at`, those counted who left a moment ago."""
        self._leaving = {person: until for person, until in self._leaving.items() if until > at}
        return _sorted({*self._here, *self._leaving})

    def everybody(self, at: float) -> tuple[Present, ...]:
        """Who is in the room at `at`, on whichever node."""
        self._elsewhere = {node: told for node, told in self._elsewhere.items() if told[0] > at}
        return _sorted({*self.here(at)}.union(*(people for _, people in self._elsewhere.values())))


def _sorted(people: Iterable[Present]) -> tuple[Present, ...]:
    return tuple(sorted(people, key=lambda person: (person.name, person.user_id)))
