"""Named places where a test may make the path fail; nothing happens there otherwise.

accepted · prepared · inserting · inserted · committed
recovery    completed (what was missing was sent) · recovered
refusals    sifted (found) · reduced (set aside)
audit       removed · repaired
replay, exchange    replayed (a piece is in the twin) · exchanging · exchanged
rebase      rebased (numbers begin anew; nothing has been compared yet)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Run what a test has put here."""
    if _armed and (action := _armed.get(name)):
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Put `action` at a place for the time of a block."""
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
