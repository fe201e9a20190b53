"""Who asks goes first: after an outage, while requests are answered in this process, the loader works a little at a
time.

After each piece of work it rests in proportion, and then waits for a moment in which nobody is being answered. When
nobody has asked for a while it takes all it can get. It is no endless courtesy: after some minutes its share grows.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

SHARE = 1 / 7
"""The part of the time in which the loader works while somebody asks."""
PATIENT_SECONDS = 300
"""After so long its share doubles, and again after each `_DOUBLING_SECONDS`: old numbers are worse than slow ones."""
QUIET_SECONDS = 0.5
"""So long after the last request nobody asks any more."""
_DOUBLING_SECONDS = 60
_LONGEST_REST = 2.0


class Courtesy:
    """Entered for each request, on the event loop; the loader's thread gives way between two pieces of work."""

    def __init__(self) -> None:
        self._answering = 0
        self._last = float("-inf")
        self._idle = threading.Event()
        self._idle.set()
        self._since: float | None = None
        self._resumed = time.monotonic()

    def __enter__(self) -> None:
        self._answering += 1
        self._idle.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._answering -= 1
        self._last = time.monotonic()
        if not self._answering:
            self._idle.set()

    @property
    def asked(self) -> bool:
        """Whether somebody is being answered, or was a moment ago."""
        return bool(self._answering) or time.monotonic() - self._last < QUIET_SECONDS

    def begin(self) -> None:
        """Much waits: the next piece of work begins."""
        self._resumed = time.monotonic()
        self._since = self._since or self._resumed

    def end(self) -> None:
        """All is up to date: patience begins anew."""
        self._since = None

    def give_way(self) -> None:
        """A piece of work is done: rest while somebody asks."""
        moment = time.monotonic()
        piece = moment - self._resumed
        part = 1.0 if self._since is None else share(moment - self._since)
        rest = min(piece * (1 / part - 1), _LONGEST_REST)
        if rest > 0 and self.asked:
            time.sleep(rest)
            self._idle.wait(piece)
        self._resumed = time.monotonic()


def share(seconds: float) -> float:
    """The loader's part of the time when it has given way for so long."""
    doublings = max(0.0, seconds - PATIENT_SECONDS) / _DOUBLING_SECONDS
    return min(1.0, SHARE * 2 ** min(doublings, 10))
