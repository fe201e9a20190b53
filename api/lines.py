"""A stream of bytes → groups of numbered lines → what became of them, in bounded memory.

A line that is too long is dropped as it comes; each group is committed before the next one is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from core.errors import EduError
from ingestion.decoding import SHOWN_BYTES, unreadable
from ingestion.events import MOST_BYTES
from ingestion.writer import patiently

GROUP_LINES = 1_000
GROUP_BYTES = 1_000_000
MOST_LINE_BYTES = 4 * MOST_BYTES
MOST_LISTED = 1_000
"""So many lines of a stream are listed in its answer; the others are counted, and lie in the dead letters."""


class Line(NamedTuple):
    """A line's number from 1, and its item as the door decodes it, or `Unreadable`."""

    number: int
    item: Any


class Told(Protocol):
    """What became of one item."""

    @property
    def status(self) -> str: ...
    def on_line(self, number: int) -> Any:
        """Itself with its line's number, ready to be written as JSON."""


Decode: TypeAlias = Callable[[bytes], Any]
Take: TypeAlias = Callable[[list[Any]], Awaitable[Sequence[Told]]]
"""Takes the items of a group and tells what became of each, in order; raises `TooMany` only if nothing was written."""
Confirm: TypeAlias = Callable[[], Awaitable[None]]
"""Raises when the sender's log-in has ended: a stream may last for hours, and he may be gone by then."""


async def take_lines(stream: AsyncIterable[bytes], decode: Decode, take: Take, confirm: Confirm) -> dict[str, Any]:
    """What became of a stream of lines: counts, and the items that were not accepted.

    An error on the way says how many `lines` have their outcome already; what was accepted of them is committed."""
    counts: Counter[str] = Counter(accepted=0, duplicate=0, rejected=0)
    listed: list[Any] = []
    lines = 0
    try:
        async for group in groups(stream, decode):
            await confirm()
            outcomes = await patiently(take, [line.item for line in group])
            counts.update(outcome.status for outcome in outcomes)
            listed += list(_exceptions(group, outcomes))[: MOST_LISTED - len(listed)]
            lines = group[-1].number
    except EduError as error:
        error.details["lines"] = lines
        raise
    left_out = counts["duplicate"] + counts["rejected"] - len(listed)
    return {**counts, "lines": lines, "items": listed, "left_out": left_out}


async def groups(stream: AsyncIterable[bytes], decode: Decode) -> AsyncIterator[list[Line]]:
    """Groups of at most 1,000 lines or about a megabyte; empty lines are counted and left out."""
    group: list[Line] = []
    size = 0
    async for line, length in _lines(stream, decode):
        group.append(line)
        size += length
        if len(group) >= GROUP_LINES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


async def _lines(stream: AsyncIterable[bytes], decode: Decode) -> AsyncIterator[tuple[Line, int]]:
    number, rest = 0, _Rest()
    async for piece in stream:
        first, *others = piece.split(b"\n")
        rest.add(first)
        for following in others:
            number += 1
            raw, lost = rest.take()
            if found := _line(number, raw, lost, decode):
                yield found, len(raw)
            rest.add(following)
    raw, lost = rest.take()
    if found := _line(number + 1, raw, lost, decode):
        yield found, len(raw)


class _Rest:
    """The beginning of a line whose end has not come; of a line too long only the first bytes are kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._lost = 0

    def add(self, part: bytes) -> None:
        if self._lost or self._size + len(part) > MOST_LINE_BYTES:
            kept = b"".join([*self._parts, part[:SHOWN_BYTES]])[:SHOWN_BYTES]
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


def _line(number: int, raw: bytes, lost: int, decode: Decode) -> Line | None:
    if lost:
        return Line(number, unreadable("too_large", f"The line has {len(raw) + lost} bytes.", raw))
    return Line(number, decode(raw)) if raw.strip() else None


def _exceptions(group: Sequence[Line], outcomes: Sequence[Told]) -> Iterator[Any]:
    for line, outcome in zip(group, outcomes, strict=True):
        if outcome.status != "accepted":
            yield outcome.on_line(line.number)
