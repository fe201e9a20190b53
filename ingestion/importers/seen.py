"""Which ids a file has shown before, in flat memory whatever the file's size."""

from __future__ import annotations

import hashlib
import sqlite3

_DENSE = 1 << 27
_DIGITS = 9


class SeenIds:
    """Small whole numbers are bits (16 MiB for 134 million); other ids are hashes in a temporary file on disk."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._disk: sqlite3.Connection | None = None

    def add(self, identifier: str) -> bool:
        """Remember the id; True if it had come before."""
        if len(identifier) <= _DIGITS and identifier.isascii() and identifier.isdigit() and identifier[0] != "0":
            number = int(identifier)
            if number < _DENSE:
                return self._add_number(number)
        return self._add_hash(identifier)

    def close(self) -> None:
        """Remove the temporary file."""
        if self._disk:
            self._disk.close()

    def _add_number(self, number: int) -> bool:
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(max(place + 1 - len(self._bits), 65536)))
        if self._bits[place] & bit:
            return True
        self._bits[place] |= bit
        return False

    def _add_hash(self, identifier: str) -> bool:
        if self._disk is None:
            self._disk = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._disk.execute("pragma journal_mode = off")
            self._disk.execute("begin")
            self._disk.execute("create table seen (digest blob primary key) without rowid")
        digest = hashlib.blake2b(identifier.encode(), digest_size=16).digest()
        return self._disk.execute("insert or ignore into seen values (?)", (digest,)).rowcount == 0
