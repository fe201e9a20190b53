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
    number, rest, lost = 0, b"", 0
    async for piece in stream:
        *whole, rest = (rest + piece).split(b"\n")
        for raw in whole:
            number += 1
            if found := _line(number, raw, lost):
                yield found, len(raw)
            lost = 0
        if len(rest) > MOST_LINE_BYTES:
            lost += len(rest) - _SHOWN_BYTES
            rest = rest[:_SHOWN_BYTES]
    if found := _line(number + 1, rest, lost):
        yield found, len(rest)


def _line(number: int, raw: bytes, lost: int) -> Line | None:
    if lost:
        text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
        return Line(number, Unreadable("too_large", f"The line has {len(raw) + lost} bytes.", text))
    return Line(number, decode_one(raw)) if raw.strip() else None
