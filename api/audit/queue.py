"""Lines about reads: a bounded queue in memory, written in groups of one transaction each.

A read has changed nothing, so it need not wait for a commit of its own; a crash may lose the lines of the last tenth
of a second. While Postgres is away they wait here; when no more fit, whoever would add one is told 503.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from types import TracebackType
from typing import Self

import psycopg

from api.audit import store
from api.audit.entries import Entry
from core.errors import Unavailable
from core.postgres import Postgres
from core.telemetry import audit_waiting, log

GROUP_SECONDS = 0.05
_MOST_SECONDS = 5.0
_MOST_LINES = 10_000
_GROUP_LINES = 1_000
_LAST_TRIES = 3


class AuditLog:
    """Open it, `note` to it from any number of requests, close it: then all lines have been written."""

    def __init__(self, postgres: Postgres | None, *, most: int = _MOST_LINES, patience: float = 2.0) -> None:
        """Without a record (the semantic layer alone) lines go to the server's log; `patience` in seconds."""
        self._postgres = postgres
        self._most = most
        self._patience = patience
        self._queue: deque[Entry] = deque()
        self._changed = asyncio.Condition()
        self._closing = False
        self._flusher: asyncio.Task[None] | None = None
        self._failures = 0
        self._noted = self._done = 0

    async def __aenter__(self) -> Self:
        """Start."""
        if self._postgres is not None:
            self._flusher = asyncio.create_task(self._run(self._postgres), name="audit")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits."""
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._flusher:
            await self._flusher

    async def note(self, entry: Entry) -> None:
        """Keep a line; raises `Unavailable` when none fits in for some seconds: what cannot be noted is not shown."""
        if self._postgres is None:
            log.info("audit", **_told(entry))
            return
        async with self._changed:
            if len(self._queue) >= self._most:
                await self._wait_for_room()
            self._queue.append(entry)
            self._noted += 1
            audit_waiting.set(len(self._queue))
            self._changed.notify_all()

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._changed.wait_for(lambda: len(self._queue) < self._most)
        except TimeoutError:
            raise Unavailable("The audit log cannot be written; nothing is shown without it.", code="audit") from None

    async def flush(self, seconds: float = 5.0) -> None:
        """Return when all that was noted before the call has been written; raises `Unavailable` after `seconds`."""
        noted = self._noted
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._done >= noted)
        except TimeoutError:
            raise Unavailable("The audit log cannot be written now.", code="audit") from None

    async def _run(self, postgres: Postgres) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return
            await self._pause(GROUP_SECONDS)
            group = list(islice(self._queue, _GROUP_LINES))
            try:
                await self._write(postgres, group)
            except (Unavailable, psycopg.Error) as error:
                if await self._failed(error):
                    return
            else:
                await self._written(len(group))

    async def _pause(self, seconds: float) -> None:
        """Let a group gather; at the end nobody waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._closing)

    async def _written(self, lines: int) -> None:
        self._failures = 0
        async with self._changed:
            for _ in range(lines):
                self._queue.popleft()
            self._done += lines
            audit_waiting.set(len(self._queue))
            self._changed.notify_all()

    async def _failed(self, error: Exception) -> bool:
        """Wait before the next try; at the end of the process, after some tries, the lines go to the server's log."""
        self._failures += 1
        log.error("the audit log was not written; it will be tried again", lines=len(self._queue), error=str(error))
        if self._closing and self._failures >= _LAST_TRIES:
            for entry in self._queue:
                log.error("audit", **_told(entry))
            return True
        await self._pause(min(0.1 * 2**self._failures, _MOST_SECONDS))
        if self._closing:
            await asyncio.sleep(0.1)
        return False

    async def _write(self, postgres: Postgres, group: Sequence[Entry]) -> None:
        """Write a group; a line that the record refuses goes to the server's log, and the others in."""
        try:
            async with postgres.transaction() as connection:
                await store.append(connection, group)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(group) == 1:
                log.error("audit", refused=str(error).splitlines()[0], **_told(group[0]))
                return
            half = len(group) // 2
            await self._write(postgres, group[:half])
            await self._write(postgres, group[half:])


def _told(entry: Entry) -> dict[str, object]:
    return {key: value for key, value in asdict(entry).items() if value not in (None, (), {})}
