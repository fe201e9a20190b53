"""Passwords are kept as argon2id hashes (ASVS 5.0: t=1, 46 MiB, p=1), made in threads, at most two at a time.

A bcrypt hash that came with an imported account is good for one log-in, which replaces it.
"""

from __future__ import annotations

import re
import secrets
from functools import cached_property

import bcrypt
from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}")
"""A cost above 15 takes longer than anybody waits: such a hash is refused instead of computed."""
_BCRYPT_BYTES = 72
"""What the implementations that made these hashes read of a password; bcrypt 5 refuses a longer one."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        return CapacityLimiter(2)

    @cached_property
    def _dummy(self) -> str:
        return self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; takes the same time when nothing is kept (an unknown address)."""
        return await to_thread.run_sync(self._check, password, kept, limiter=self._limiter)

    def _check(self, password: str, kept: str | None) -> bool:
        if kept and _BCRYPT.fullmatch(kept):
            return _matches_bcrypt(password, kept)
        try:
            return self._hasher.verify(kept or self._dummy, password) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False

    def outdated(self, kept: str) -> bool:
        """Whether the hash was made with older parameters, or by bcrypt."""
        return kept.startswith("$2") or self._hasher.check_needs_rehash(kept)


def _matches_bcrypt(password: str, kept: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], kept.encode())
    except ValueError:  # a NUL, which bcrypt cannot read
        return False
