"""Passwords are kept as argon2id hashes (ASVS 5.0: t=1, 46 MiB, p=1), made in one or two threads of lower priority.

A bcrypt hash that came with an imported account is good for one log-in, which replaces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_LIGHT_PREFIX = "$argon2id$v=19$m=1024,t=1,p=1$"
"""For passwords of chance (59 bits): nobody finds those from a hash, and a class list has thousands."""
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}")
"""A cost above 15 takes longer than anybody waits: such a hash is refused instead of computed."""
_NICE = 10
_THREADS = max(1, min(2, (os.cpu_count() or 2) // 2))
_BCRYPT_BYTES = 72
"""What the implementations that made these hashes read of a password; bcrypt 5 refuses a longer one."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
        self._light = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, "passwords", _step_back)

    @cached_property
    def _dummy(self) -> str:
        return self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def light(self, passwords: list[str]) -> list[str]:
        """The hashes of passwords that we made ourselves by chance."""
        work = partial(self._hash_lightly, passwords)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _hash_lightly(self, passwords: list[str]) -> list[str]:
        return [self._light.hash(password) for password in passwords]

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; takes the same time when nothing is kept (an unknown address)."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._check, password, kept)

    def _check(self, password: str, kept: str | None) -> bool:
        if kept and _BCRYPT.fullmatch(kept):
            return _matches_bcrypt(password, kept)
        dummy = self._dummy  # made at the first check, whatever it is for
        if kept and kept.startswith(_LIGHT_PREFIX):
            self._check(password, None)  # so that a wrong password takes as long as for any other account
        try:
            return self._hasher.verify(kept or dummy, password) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False

    def outdated(self, kept: str) -> bool:
        """Whether the hash was made with older parameters, or by bcrypt."""
        return kept.startswith("$2") or self._hasher.check_needs_rehash(kept)


def _step_back() -> None:
    """Linux gives each thread a niceness of its own: many log-ins at once do not slow the other requests."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _matches_bcrypt(password: str, kept: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], kept.encode())
    except ValueError:  # a NUL, which bcrypt cannot read
        return False
