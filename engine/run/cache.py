"""Answers kept while they are certainly fresh: as long as the data is the same, or as a refresh key allows."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.catalog import Cube
from engine.run.result import Table

UNKNOWN_SECONDS = 0.8
"""How long an answer is good when nobody tells us of new data: rows are never older than a second."""
SETTLED_SECONDS = 10.0
"""How long it is good while the data stays the same; a model's SQL may look at the clock."""
MAX_BYTES = 128 * 1024 * 1024

_EVERY = re.compile(r"\s*(\d+)\s+(second|minute|hour|day|week)s?\s*")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, the version of the data when it was asked for, and that moment on the monotonic clock."""

    table: Table
    version: Hashable
    asked: float
    lifetime: float | None


class ResultCache:
    """The answers asked for last, up to a number of bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    def get(self, key: Hashable, version: Hashable, now: float) -> Table | None:
        """The answer, if it is still good."""
        entry = self._entries.get(key)
        if entry is None or not is_fresh(entry, version, now):
            return None
        self._entries.move_to_end(key)
        return entry.table

    def put(self, key: Hashable, entry: Entry) -> None:
        """Keep an answer; the oldest ones go."""
        self._drop(key)
        if entry.table.size * 4 > self._max_bytes:
            return
        self._entries[key] = entry
        self._bytes += entry.table.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self._bytes -= entry.table.size if entry else 0

    def clear(self) -> None:
        """Forget every answer."""
        self._entries.clear()
        self._bytes = 0


def is_fresh(entry: Entry, version: Hashable, now: float) -> bool:
    """Whether an answer is as good as asking again."""
    age = now - entry.asked
    if entry.lifetime is not None:
        return age < entry.lifetime
    return entry.version == version and age < (UNKNOWN_SECONDS if version is None else SETTLED_SECONDS)


def lifetime(cubes: Iterable[Cube]) -> float | None:
    """Seconds for which every cube's own `refresh_key` calls its rows unchanged; None where one has no such key."""
    found = [_seconds(cube.extra.get("refresh_key")) for cube in cubes]
    known = [seconds for seconds in found if seconds is not None]
    return min(known) if known and len(known) == len(found) else None


def _seconds(refresh_key: Any) -> float | None:
    if not isinstance(refresh_key, Mapping):
        return None
    if refresh_key.get("immutable") is True:
        return float("inf")
    match = _EVERY.fullmatch(str(refresh_key.get("every", ""))) if "sql" not in refresh_key else None
    return int(match[1]) * _SECONDS[match[2]] if match else None
