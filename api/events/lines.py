"""A stream of bytes → groups of numbered lines, in bounded memory: a line that is too long is dropped as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, NamedTuple

from ingestion.decoding import Unreadable, decode_one
from ingestion.events import MOST_BYTES

GROUP_LINES = 1_000
GROUP_BYTES = 1_000_000
MOST_LINE_BYTES = 4 * MOST_BYTES
_SHOWN_BYTES = 4_000


class Line(NamedTuple):
    """A line's number from 1, and its item as `decoding.decode_one` reads it."""

    number: int
    item: Any


async def groups(stream: AsyncIterable[bytes]) -> AsyncIterator[list[Line]]:
    """Groups of at most 1,000 lines or about a megabyte; empty lines are counted and left out."""
    group: list[Line] = []
    size = 0
    async for line, length in _lines(stream):
        group.append(line)
        size += length
        if len(group) >= GROUP_LINES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


async def _lines(stream: AsyncIterable[bytes]) -> AsyncIterator[tuple[Line, int]]:
    number, rest = 0, _Rest()
    async for piece in stream:
        first, *others = piece.split(b"\n")
        rest.add(first)
        for following in others:
            number += 1
            raw, lost = rest.take()
            if found := _line(number, raw, lost):
                yield found, len(raw)
            rest.add(following)
    raw, lost = rest.take()
    if found := _line(number + 1, raw, lost):
        yield found, len(raw)


class _Rest:
    """The beginning of a line whose end has not come; of a line too long only the first bytes are kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._lost = 0

    def add(self, part: bytes) -> None:
        if self._lost or self._size + len(part) > MOST_LINE_BYTES:
            kept = b"".join([*self._parts, part[:_SHOWN_BYTES]])[:_SHOWN_BYTES]
            self._lost += self._size + len(part) - len(kept)
            self._parts, self._size = [kept], len(kept)
        else:
            self._parts.append(part)
            self._size += len(part)

    def take(self) -> tuple[bytes, int]:
        """What was kept, and how many bytes were not."""
        found = b"".join(self._parts), self._lost
        self._parts, self._size, self._lost = [], 0, 0
        return found


def _line(number: int, raw: bytes, lost: int) -> Line | None:
    if lost:
        text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
        return Line(number, Unreadable("too_large", f"The line has {len(raw) + lost} bytes.", text))
    return Line(number, decode_one(raw)) if raw.strip() else None
