"""Named places where a test may make the path fail; nothing happens there otherwise.

accepted · prepared · inserting · inserted · committed
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
