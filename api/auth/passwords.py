"""Passwords are kept as argon2id hashes (ASVS 5.0: t=1, 46 MiB, p=1), made in threads, at most two at a time."""

from __future__ import annotations

import secrets
from functools import cached_property

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_LIGHT_PREFIX = "$argon2id$v=19$m=1024,t=1,p=1$"
"""For passwords of chance (59 bits): nobody finds those from a hash, and a class list has thousands."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
        self._light = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        return CapacityLimiter(2)

    @cached_property
    def _dummy(self) -> str:
        return self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    async def light(self, passwords: list[str]) -> list[str]:
        """The hashes of passwords that we made ourselves by chance."""
        return await to_thread.run_sync(lambda: [self._light.hash(one) for one in passwords], limiter=self._limiter)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; takes the same time when nothing is kept (an unknown address)."""
        return await to_thread.run_sync(self._check, password, kept, limiter=self._limiter)

    def _check(self, password: str, kept: str | None) -> bool:
        if kept and kept.startswith(_LIGHT_PREFIX):
            self._check(password, None)  # so that a wrong password takes as long as for any other account
        try:
            return self._hasher.verify(kept or self._dummy, password) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False

    def outdated(self, kept: str) -> bool:
        """Whether the hash was made with older parameters."""
        return self._hasher.check_needs_rehash(kept)
