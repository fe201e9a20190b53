"""Ways to fail at an arrow, each of them once.

kill        the process gets a SIGKILL
exception   something that nobody expects is thrown
away        ClickHouse says that it is away
timeout     somebody holds a lock for longer than one waits
cut         the connection to Postgres ends; what is asked next does not arrive
unanswered  what is asked next is done, but its answer is lost with the connection
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from core.errors import Unavailable
from ingestion.failpoints import armed
from tests.ingestion.crash.proxy import Proxy
from tests.ingestion.crash.scenarios import Crash

LOCK_TIMEOUT = "150ms"
_HOLD_SECONDS = 0.4


def kill() -> None:
    """End as the machine would end us."""
    os.kill(os.getpid(), signal.SIGKILL)


def _throw(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def _hold(url: str) -> Callable[[], None]:
    def action() -> None:
        holder = psycopg.connect(url)
        holder.execute("lock table pipelines in access exclusive mode")
        holder.execute("lock table events in share row exclusive mode")
        threading.Timer(_HOLD_SECONDS, holder.close).start()

    return action


def action(way: str, direct: str, proxy: Proxy | None) -> Callable[[], None]:
    """What happens at the arrow."""
    actions: dict[str, Callable[[], None]] = {
        "kill": kill,
        "exception": _throw(Crash()),
        "away": _throw(Unavailable("ClickHouse is away. Try again.")),
        "timeout": _hold(direct),
    }
    if proxy:
        actions |= {"cut": proxy.cut, "unanswered": proxy.lose_answer}
    return actions[way]


@contextmanager
def failing(arrow: str, happens: Callable[[], None]) -> Iterator[None]:
    """Fail at the arrow the first time that the path comes there; it must come there."""
    come: list[str] = []

    def once() -> None:
        if not come:
            come.append(arrow)
            happens()

    with armed(arrow, once):
        yield
    assert come, f"the path did not come to «{arrow}»"
