"""The throttle of guesses: passwords, codes, refresh tokens, links in mails. It slows an attacker and locks nobody out.

| bucket | what it stops | free | longest wait | passed over |
|---|---|---|---|---|
| account and address | guessing one password from one place | 10 | 5 min | |
| account | guessing one password from everywhere | 20 | 60 s | at an address where the account logged in before |
| address | trying one password on many accounts | 100 | 60 s | the same |
| address (codes, tokens) | guessing codes | 30 | 5 min | |
| caller (join codes) | guessing codes while logged in | 10 | 5 min | |
| address (wishes for mails) | asking for mails to many addresses | 100 | 60 s | |

So whoever hammers a pupil's account from elsewhere does not stop him at school or at home, and the longest that anybody
ever waits is five minutes. An unknown account is counted like one that is there: nothing tells them apart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from api.deps import get_services
from api.limits.attempts import Attempts, Bucket, Rule
from core.errors import EduError, TooMany, Unavailable
from core.telemetry import guesses_refused, limits_unchecked

_PAIR = Rule(free=10, cap=300)
_ACCOUNT = Rule(free=20, cap=60)
_ADDRESS = Rule(free=100, cap=60)
_CODES = Rule(free=30, cap=300)
_KNOWN_S = 30 * 24 * 3600
_UNGUESSABLE = frozenset({"refresh"})
"""256 bits of chance: checked uncounted while Valkey is away, so that whoever is logged in stays so."""
_WRONG = frozenset({400, 401, 403, 404, 409, 410, 422})
"""The statuses by which a guess is told to be wrong (409: this address has an account)."""


@dataclass
class Throttle:
    """Counts wrong guesses and makes the next ones wait."""

    attempts: Attempts

    @asynccontextmanager
    async def guess(self, purpose: str, address: str, account: str | None = None) -> AsyncIterator[None]:
        """Around the check of a guess: raises `TooMany` before it, or `Unavailable`; counts by how it ends.

        `account` is what the caller wrote (an e-mail address, say), whether there is such an account or not."""
        bucketed = self._account(purpose, address, _digest(account)) if account else self._code(purpose, address)
        async with bucketed:
            yield

    @asynccontextmanager
    async def guess_of(self, purpose: str, caller: str) -> AsyncIterator[None]:
        """Around a guess of somebody who is logged in: his own tries alone, for a school may have one address."""
        own = [Bucket(f"{purpose}:of:{caller}", _PAIR)]
        await self._begin(purpose, own)
        try:
            yield
        except BaseException as error:
            if not _is_wrong(error):
                await self._take_back(own)
            raise
        await self.attempts.forget([bucket.key for bucket in own])

    async def wish(self, purpose: str, address: str) -> None:
        """Before what is never wrong (a mail is asked for): each one counts; raises `TooMany` or `Unavailable`.

        By the caller's address alone: nobody keeps another from his mail, and an account gets few an hour anyhow."""
        await self._begin(purpose, [Bucket(f"{purpose}:from:{address}", _ADDRESS)])

    @asynccontextmanager
    async def _code(self, purpose: str, address: str) -> AsyncIterator[None]:
        bucket = Bucket(f"{purpose}:from:{address}", _CODES, count=False)
        with _perhaps_uncounted(purpose):
            await self._begin(purpose, [bucket])
        try:
            yield
        except EduError as error:
            if _is_wrong(error):
                with _perhaps_uncounted(purpose):
                    await self.attempts.add(bucket, 1)
            raise

    @asynccontextmanager
    async def _account(self, purpose: str, address: str, account: str) -> AsyncIterator[None]:
        known = f"{purpose}:known:{account}:{address}"
        own = [Bucket(f"{purpose}:pair:{account}:{address}", _PAIR)]
        everybody = Bucket(f"{purpose}:from:{address}", _ADDRESS, count=False)
        if not await self.attempts.knows(known):
            own.append(Bucket(f"{purpose}:account:{account}", _ACCOUNT))
            await self._begin(purpose, [*own, everybody])
        else:
            await self._begin(purpose, own)
        try:
            yield
        except BaseException as error:
            if _is_wrong(error):
                await self.attempts.add(everybody, 1)
            else:
                await self._take_back(own)
            raise
        await self.attempts.forget([bucket.key for bucket in own])
        await self.attempts.remember(known, _KNOWN_S)

    async def _begin(self, purpose: str, buckets: list[Bucket]) -> None:
        wait = await self.attempts.begin(buckets)
        if wait > 0:
            guesses_refused.labels(purpose).inc()
            seconds = max(1, math.ceil(wait))
            raise TooMany(f"Too many tries. Try again in {seconds} s.", code="too_many_tries", retry_after=seconds)

    async def _take_back(self, buckets: list[Bucket]) -> None:
        """The guess was not checked (a store is away, the caller hung up)."""
        for bucket in buckets:
            await self.attempts.add(bucket, -1)


@asynccontextmanager
async def guessing(connection: HTTPConnection, purpose: str, account: str | None = None) -> AsyncIterator[None]:
    """`Throttle.guess` for the caller of a route."""
    services = get_services(connection)
    async with services.throttle.guess(purpose, services.rates.address(connection), account):
        yield


@asynccontextmanager
async def guessing_of(connection: HTTPConnection, purpose: str, caller: str) -> AsyncIterator[None]:
    """`Throttle.guess_of` for the caller of a route."""
    async with get_services(connection).throttle.guess_of(purpose, caller):
        yield


async def wishing(connection: HTTPConnection, purpose: str) -> None:
    """`Throttle.wish` for the caller of a route."""
    services = get_services(connection)
    await services.throttle.wish(purpose, services.rates.address(connection))


@contextmanager
def _perhaps_uncounted(purpose: str) -> Iterator[None]:
    try:
        yield
    except Unavailable:
        if purpose not in _UNGUESSABLE:
            raise
        limits_unchecked.labels(purpose).inc()


def _is_wrong(error: BaseException) -> bool:
    return isinstance(error, EduError) and error.status in _WRONG


def _digest(account: str) -> str:
    """No address of a person lies in Valkey; upper and lower case are one."""
    return hashlib.sha256(account.strip().casefold().encode()).hexdigest()[:32]
