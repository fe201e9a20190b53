"""Fields of PostgreSQL's binary COPY format, remembered by value, since most come again and again.

https://www.postgresql.org/docs/current/sql-copy.html, «Binary Format».
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_ROOM = 65536
_INT = struct.Struct(">ii")
_BIGINT = struct.Struct(">iq")
_DOUBLE = struct.Struct(">id")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UUID_FIELD = (16).to_bytes(4, "big")


class Fields(dict[Any, bytes]):
    """value → field of one type; None → NULL. Forgets all when it holds 65,536."""

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        super().__init__({None: NULL})
        self._encode = encode

    def __missing__(self, value: Any) -> bytes:
        if len(self) >= _ROOM:
            self.clear()
            self[None] = NULL
        field = self[value] = self._encode(value)
        return field


def int4(value: int) -> bytes:
    """An `int` field."""
    return _INT.pack(4, value)


def int8(value: int) -> bytes:
    """A `bigint` field."""
    return _BIGINT.pack(8, value)


def float8(value: float) -> bytes:
    """A `double precision` field."""
    return _DOUBLE.pack(8, value)


def boolean(value: bool) -> bytes:
    """A `boolean` field."""
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def text(value: str) -> bytes:
    """A `text` field."""
    data = value.encode()
    return len(data).to_bytes(4, "big") + data


def jsonb(value: str) -> bytes:
    """A `jsonb` field of JSON text."""
    data = value.encode()
    return (len(data) + 1).to_bytes(4, "big") + b"\1" + data


def timestamptz(value: datetime) -> bytes:
    """A `timestamptz` field of an aware time."""
    return _BIGINT.pack(8, (value - _EPOCH) // _MICROSECOND)


def derived_uuid(ms: int, name: str) -> bytes:
    """A `uuid` field equal to `core.ids.derived_id_ms(ms, name)`, without the object."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10], "big")
    bits = (
        (ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (digest >> 62 & 0xFFF) << 64 | 0x2 << 62 | digest & 0x3FFFFFFFFFFFFFFF
    )
    return _UUID_FIELD + bits.to_bytes(16, "big")
