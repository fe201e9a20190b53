"""Moving windows: how many requests of one key there were in the last minute, in this process or in Valkey."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from api.limits.valkey import pool, storage_url
from core.settings import Settings

_SWEEP_AT = 10_000


@dataclass(frozen=True)
class Taken:
    """The answer to one request: whether it is allowed, how many more are, and in how many seconds one more is."""

    allowed: bool
    remaining: int
    reset: float


class Windows(Protocol):
    """Counts requests by key."""

    async def take(self, key: str, limit: int, seconds: int) -> Taken:
        """Count one more request if it is allowed."""

    async def close(self) -> None:
        """Hang up."""


@dataclass
class LocalWindows:
    """This process's windows: the times of the last requests of each key (the library's own store sweeps all keys
    with a thread for each)."""

    clock: Callable[[], float] = time.monotonic
    _times: dict[str, deque[float]] = field(default_factory=dict)

    async def take(self, key: str, limit: int, seconds: int) -> Taken:
        """Count one more request if it is allowed."""
        now = self.clock()
        times = self._times.get(key)
        if times is None:
            self._sweep(now, seconds)
            times = self._times[key] = deque()
        while times and times[0] <= now - seconds:
            times.popleft()
        free = len(times) < limit
        if free:
            times.append(now)
        return Taken(free, max(0, limit - len(times)), times[0] + seconds - now if times else float(seconds))

    async def close(self) -> None:
        """Forget everything."""
        self._times.clear()

    def _sweep(self, now: float, seconds: int) -> None:
        if len(self._times) >= _SWEEP_AT and len(self._times) % 1000 == 0:
            self._times = {key: times for key, times in self._times.items() if times and times[-1] > now - seconds}


class SharedWindows:
    """The windows of all servers, kept in Valkey by the `limits` library; raises `ValkeyError` while it is away."""

    def __init__(self, url: str) -> None:
        self._pool = pool(url)
        self._storage = RedisStorage(storage_url(url), implementation="valkey", connection_pool=self._pool)
        self._limiter = MovingWindowRateLimiter(self._storage)

    async def take(self, key: str, limit: int, seconds: int) -> Taken:
        """Count one more request if it is allowed."""
        item = RateLimitItemPerSecond(limit, seconds, namespace="edu")
        free = await self._limiter.hit(item, key)
        stats = await self._limiter.get_window_stats(item, key)
        return Taken(free, max(0, stats.remaining), max(0.0, stats.reset_time - time.time()))

    async def close(self) -> None:
        """Hang up."""
        await self._pool.aclose()


def open_windows(settings: Settings) -> Windows:
    """In Valkey when it is set, else in this process."""
    if settings.valkey_url is None:
        return LocalWindows()
    return SharedWindows(settings.valkey_url.get_secret_value())
