"""How long to wait before the next guess: failures by key, in this process or in Valkey; both by the same rule.

| failures of a key | ≤ free | free + 1 | free + 2 | free + 3 | … |
|---|---|---|---|---|---|
| seconds to wait | 0 | 1 | 2 | 4 | doubling up to `cap` |

A guess inside the wait is refused and does not count, so that a wait always ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from api.limits.valkey import AWAY, connect
from core.errors import Unavailable
from core.settings import Settings

_SWEEP_AT = 10_000
_PREFIX = "edu:guess:"


@dataclass(frozen=True)
class Rule:
    """So many failures are free; then the wait doubles up to `cap` seconds; forgotten after `memory` seconds."""

    free: int
    cap: int
    memory: int = 3600

    def wait(self, failures: int) -> int:
        """Seconds to wait after so many failures."""
        over = failures - self.free
        return 0 if over <= 0 else min(self.cap, 2 ** min(over - 1, 30))


@dataclass(frozen=True)
class Bucket:
    """One key and its rule; `count`: a guess counts before it is checked, so that many at once gain nothing."""

    key: str
    rule: Rule
    count: bool = True


class Attempts(Protocol):
    """Failures by key; raises `Unavailable` while they cannot be known."""

    async def begin(self, buckets: Sequence[Bucket]) -> float:
        """Seconds to wait (then nothing is counted), or 0: the guess counts and may be checked."""

    async def add(self, bucket: Bucket, number: int) -> None:
        """Count so many failures more (or fewer)."""

    async def forget(self, keys: Sequence[str]) -> None:
        """No failures of these keys."""

    async def remember(self, key: str, seconds: int) -> None:
        """Know this key for a while."""

    async def knows(self, key: str) -> bool:
        """Whether the key is known."""

    async def close(self) -> None:
        """Hang up."""


@dataclass
class LocalAttempts:
    """This process's failures."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    _known: dict[str, float] = field(default_factory=dict)

    async def begin(self, buckets: Sequence[Bucket]) -> float:
        """Seconds to wait (then nothing is counted), or 0: the guess counts and may be checked."""
        now = self.clock()
        wait = max((self._state(bucket.key, now)[1] - now for bucket in buckets), default=0.0)
        if wait > 0:
            return wait
        for bucket in buckets:
            if bucket.count:
                await self.add(bucket, 1)
        return 0.0

    async def add(self, bucket: Bucket, number: int) -> None:
        """Count so many failures more (or fewer)."""
        now = self.clock()
        self._sweep(now)
        failures = max(0, self._state(bucket.key, now)[0] + number)
        self._failures[bucket.key] = failures, now + bucket.rule.wait(failures), now + bucket.rule.memory

    async def forget(self, keys: Sequence[str]) -> None:
        """No failures of these keys."""
        for key in keys:
            self._failures.pop(key, None)

    async def remember(self, key: str, seconds: int) -> None:
        """Know this key for a while."""
        self._sweep(self.clock())
        self._known[key] = self.clock() + seconds

    async def knows(self, key: str) -> bool:
        """Whether the key is known."""
        return self._known.get(key, 0.0) > self.clock()

    async def close(self) -> None:
        """Forget everything."""
        self._failures.clear()
        self._known.clear()

    def _state(self, key: str, now: float) -> tuple[int, float, float]:
        found = self._failures.get(key)
        return found if found and found[2] > now else (0, 0.0, 0.0)

    def _sweep(self, now: float) -> None:
        if len(self._failures) + len(self._known) >= _SWEEP_AT and len(self._failures) % 1000 == 0:
            self._failures = {key: state for key, state in self._failures.items() if state[2] > now}
            self._known = {key: until for key, until in self._known.items() if until > now}


_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)"
_ADD = """
local function add(key, number, free, cap, memory)
  local n = math.max(0, tonumber(redis.call('HGET', key, 'n') or '0') + number)
  local wait = 0
  if n > free then wait = math.min(cap, 2 ^ math.min(n - free - 1, 30)) end
  redis.call('HSET', key, 'n', n, 'until', now + wait * 1000)
  redis.call('EXPIRE', key, memory)
end
"""
_BEGIN = f"""
{_NOW}
{_ADD}
local longest = 0
for _, key in ipairs(KEYS) do
  longest = math.max(longest, tonumber(redis.call('HGET', key, 'until') or '0') - now)
end
if longest > 0 then return longest end
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  if ARGV[at + 1] == '1' then
    add(key, 1, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  end
end
return 0
"""
_COUNT = f"{_NOW}\n{_ADD}\nadd(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))"


class SharedAttempts:
    """The failures of all servers, in Valkey, each step one script."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._begin = self._client.register_script(_BEGIN)
        self._count = self._client.register_script(_COUNT)

    async def begin(self, buckets: Sequence[Bucket]) -> float:
        """Seconds to wait (then nothing is counted), or 0: the guess counts and may be checked."""
        rules = [(int(b.count), b.rule.free, b.rule.cap, b.rule.memory) for b in buckets]
        keys = [_PREFIX + bucket.key for bucket in buckets]
        return float(await _asked(self._begin(keys, [number for rule in rules for number in rule]))) / 1000

    async def add(self, bucket: Bucket, number: int) -> None:
        """Count so many failures more (or fewer)."""
        rule = bucket.rule
        await _asked(self._count([_PREFIX + bucket.key], [number, rule.free, rule.cap, rule.memory]))

    async def forget(self, keys: Sequence[str]) -> None:
        """No failures of these keys."""
        if keys:
            await _asked(self._client.delete(*(_PREFIX + key for key in keys)))

    async def remember(self, key: str, seconds: int) -> None:
        """Know this key for a while."""
        await _asked(self._client.set(_PREFIX + key, 1, ex=seconds))

    async def knows(self, key: str) -> bool:
        """Whether the key is known."""
        return bool(await _asked(self._client.exists(_PREFIX + key)))

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()


async def _asked(answer: Any) -> Any:
    try:
        return await answer
    except AWAY:
        raise Unavailable(
            "Log-in is closed for the moment: guesses cannot be counted.", code="login_closed", retry_after=5
        ) from None


def open_attempts(settings: Settings) -> Attempts:
    """In Valkey when it is set, else in this process."""
    if settings.valkey_url is None:
        return LocalAttempts()
    return SharedAttempts(settings.valkey_url.get_secret_value())
