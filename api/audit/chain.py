"""Is the chain whole? Each line's hash is computed again from the line before it and from what the line says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from core.postgres import connect

_LINES = "select chain, hash, audit_text(l) as text from audit_log l order by chain"
_PIECE = 5_000


@dataclass(frozen=True, slots=True)
class Verification:
    """How many lines hold; where the chain breaks first and how, if it does; the newest line's number and hash.

    Keep `head` somewhere else: a log whose end was cut off is whole in itself, and known only by an older head.
    """

    lines: int
    whole: bool
    head: str | None = None
    broken_at: int | None = None
    problem: str | None = None


def verify(url: str, known_head: str | None = None) -> Verification:
    """Walk the whole chain, a piece at a time; `known_head` (`number:hash`) must be one of its lines."""
    lines, previous, head, seen = 0, b"", None, known_head is None
    with connect(url) as connection, connection.cursor("audit") as cursor:
        cursor.itersize = _PIECE
        for row in cursor.execute(_LINES):
            problem = _problem(row["chain"], lines + 1, bytes(row["hash"]), previous, row["text"])
            if problem:
                return Verification(lines, False, head, row["chain"], problem)
            lines, previous = row["chain"], bytes(row["hash"])
            head = f"{lines}:{previous.hex()}"
            seen = seen or head == known_head
    if not seen:
        return Verification(
            lines, False, head, None, f"The line {known_head} is not there: the log was replaced or cut."
        )
    return Verification(lines, True, head)


def _problem(chain: int, expected: int, kept: bytes, previous: bytes, text: str) -> str | None:
    if chain != expected:
        return f"Line {expected} is missing."
    if hashlib.sha256(previous + text.encode()).digest() != kept:
        return f"Line {chain} is not what was written, or the line before it is not."
    return None
