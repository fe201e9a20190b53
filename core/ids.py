"""Ids that order by time, and ids that a retry makes again (UUID version 7, RFC 9562)."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from uuid import UUID

from core.clock import epoch_ms, now

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


def _uuid7(ms: int, entropy: bytes) -> UUID:
    bits = int.from_bytes(entropy[:10], "big")
    high = (bits >> 62) & 0xFFF
    low = bits & ((1 << 62) - 1)
    return UUID(int=((ms & ((1 << 48) - 1)) << 80) | _VERSION | (high << 64) | _VARIANT | low)


def new_id() -> UUID:
    """A new UUIDv7 of this moment."""
    return _uuid7(epoch_ms(now()), os.urandom(10))


def derived_id(moment: datetime, *parts: object) -> UUID:
    """The UUIDv7 of `moment` and the hash of `parts`: the same input gives the same id."""
    return derived_id_ms(epoch_ms(moment), "\x1f".join(map(str, parts)))


def derived_id_ms(ms: int, text: str) -> UUID:
    """`derived_id` for milliseconds and one joined text (the fast form for bulk work)."""
    return _uuid7(ms, hashlib.sha256(text.encode()).digest())


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond: the bound of a month's partition."""
    return UUID(int=epoch_ms(moment) << 80)


def moment_ms(identifier: UUID) -> int:
    """The milliseconds since 1970 that a UUIDv7 carries."""
    return identifier.int >> 80
