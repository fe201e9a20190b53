"""What one query may take, and how many run at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from core.errors import TooMany
from core.settings import Settings

MAX_WAITING = 500
MAX_RESULT_BYTES = 512 * 1024 * 1024
MAX_RESULT_ROWS = 50_000


def query_settings(settings: Settings, *, embedded: bool) -> dict[str, Any]:
    """ClickHouse settings of every question; a server also refuses to write (in process, `SETTINGS` cannot say so)."""
    limits: dict[str, Any] = {
        "max_execution_time": settings.query_seconds,
        "max_memory_usage": settings.query_memory_mb * 1_000_000,
        "max_result_rows": MAX_RESULT_ROWS,
        "max_result_bytes": MAX_RESULT_BYTES,
        "result_overflow_mode": "throw",
        "join_use_nulls": 1,
    }
    return limits if embedded else limits | {"readonly": 2, "cancel_http_readonly_queries_on_client_close": 1}


def with_limits(limits: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The statement's own settings within the limits."""
    return {**own, **limits}


class Slots:
    """A number of places; who finds none waits in line, and is turned away when the line is too long."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._waiting: list[object] = []

    @asynccontextmanager
    async def place(self, ticket: object) -> AsyncIterator[None]:
        """Hold a place; `ticket` finds the position in line again."""
        if len(self._waiting) >= MAX_WAITING:
            raise TooMany("Too many questions are waiting. Try again later.", retry_after=2)
        self._waiting.append(ticket)
        try:
            await self._places.acquire()
        finally:
            self._waiting.remove(ticket)
        try:
            yield
        finally:
            self._places.release()

    def position(self, ticket: object) -> int | None:
        """The position in line, from 1; None for who has a place."""
        return self._waiting.index(ticket) + 1 if ticket in self._waiting else None
