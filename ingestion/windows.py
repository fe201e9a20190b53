"""Which committed rows are new: the arithmetic of snapshot windows (PgQ's method). No database, no clock.

A snapshot says which transactions had ended when it was taken. Every transaction becomes visible between exactly
one pair of consecutive snapshots, so the windows between them share the log out without gap and without overlap,
whatever the order of commits. Numbers taken from a sequence cannot do that: they are given at insert, seen at commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """A place in the log: rows are ordered by (xid, seq)."""

    xid: int
    seq: int


START = Key(0, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`xmin:xmax:running`: ended is every xid below xmin, and below xmax all but the running ones."""

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Postgres' text form, e.g. `10:20:10,14`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(xid) for xid in running.split(",") if xid))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.running))}"

    def sees(self, xid: int) -> bool:
        """Whether that transaction had ended."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def covers(self, other: Snapshot) -> bool:
        """Whether all that the other snapshot sees is seen here too."""
        return self.xmax >= other.xmax and not any(other.sees(xid) for xid in self.running)


BEFORE_ALL = Snapshot(1, 1)


@dataclass(frozen=True, slots=True)
class Window:
    """The transactions that ended between two snapshots: the late ones, then [start, stop) without the hidden ones.

    done 10:20:12   target 18:30:18,25   →   late 12   start 20   stop 30   hidden 25
    """

    late: tuple[int, ...]
    start: int
    stop: int
    hidden: tuple[int, ...]

    def contains(self, xid: int) -> bool:
        """Whether the rows of that transaction belong here."""
        return xid in self.late or (self.start <= xid < self.stop and xid not in self.hidden)


def between(done: Snapshot, target: Snapshot) -> Window:
    """What is new in `target` for one who has seen `done`; `target` is the later one."""
    late = tuple(sorted(xid for xid in done.running if target.sees(xid)))
    hidden = tuple(sorted(xid for xid in target.running if xid >= done.xmax))
    return Window(late, done.xmax, target.xmax, hidden)
