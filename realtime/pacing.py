"""How often things may happen: a token bucket, a throttle, and one read shared by all who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from core.errors import EduError
from core.telemetry import log


@dataclass(frozen=True)
class Limits:
    """What one socket may do and how long things may take (seconds, frames, bytes)."""

    first_frame_s: float = 5
    ping_s: float = 25
    pong_s: float = 10
    first_pings_s: tuple[float, ...] = (0, 1, 2)
    sockets_each: int = 5
    follow_s: float = 1
    settle_s: float = 10
    expiry_grace_s: float = 30
    close_s: float = 10
    poll_s: float = 1
    state_s: float = 0.25
    presence_s: float = 20
    departure_s: float = 3
    frame_bytes: int = 16 * 1024
    frames_per_s: float = 20
    frames_burst: float = 40
    queue_frames: int = 256
    queue_bytes: int = 1024 * 1024


@dataclass
class TokenBucket:
    """`rate` a second on average, `burst` at once; time is given, so it is pure."""

    rate: float
    burst: float
    at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, at: float) -> bool:
        """Whether one more is allowed at `at` (seconds)."""
        self.tokens = min(self.burst, self.tokens + max(0.0, at - self.at) * self.rate)
        self.at = at
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Shared:
    """Runs `work` once for all who asked before it began: each caller's run starts after his call."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Wait for a run that begins from now on; raises what the work raises."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._run(self._running))
        await asyncio.shield(self._waiting)

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._waiting = self._waiting, None
        await self._work()


class Throttle:
    """Does `work` at once when touched, and then at most once in `interval` seconds while touched again."""

    def __init__(self, work: Callable[[], Awaitable[None]], interval: float) -> None:
        self._work = work
        self._interval = interval
        self._touched = False
        self._task: asyncio.Task[None] | None = None

    def touch(self) -> None:
        """Ask for the work."""
        self._touched = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._touched:
            self._touched = False
            try:
                await self._work()
            except EduError as error:
                log.warning("live state frame skipped", reason=error.code)
            await asyncio.sleep(self._interval)

    def stop(self) -> None:
        """Do it no more."""
        self._touched = False
        if self._task is not None:
            self._task.cancel()
