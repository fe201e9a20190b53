"""Group commit: many requests, one transaction. What is acknowledged is committed.

A request's rows wait in a queue that is bounded in bytes; a flusher takes what is there, writes it in one transaction,
and only then tells the waiting requests. While much is waiting a second flusher works beside the first: Postgres need
not wait for us. A row that the record refuses is found by halving the group, so it fails alone.

Events are nearly always new, so they are copied straight into their table; where one is not, the group is rolled back
and goes over a temporary table instead, and so do those of the next second (after an outage every app tries again).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import psycopg

from core.errors import EduError, InvalidField, TooLarge, TooMany, Unavailable
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log, queue_bytes
from ingestion.attempts import AnswerRow, Placed, store_answers
from ingestion.failpoints import failpoint
from ingestion.letters import DeadLetter, store_dead_letters
from ingestion.partitions import ensure_months, month_of
from ingestion.pipelines import CHANNEL
from ingestion.staging import EventRow, Status, copy_events, store_events

Row: TypeAlias = EventRow | AnswerRow | DeadLetter
Written: TypeAlias = "Verdict | Placed | EduError | None"
_Month: TypeAlias = tuple[str, datetime]
_MOST_ROWS = 5_000
_MOST_FLUSHERS = 2
_MUCH = 1_000
_HOUR_MS = 3_600_000
_ROW_BYTES = 300
_CAREFUL_SECONDS = 1.0
_TRIES = 10
_Given = TypeVar("_Given")
_Taken = TypeVar("_Taken")


class Verdict(NamedTuple):
    """What became of an event: new, known already, or contradicting the one that has its id."""

    status: Status
    event_id: UUID


@dataclass(slots=True)
class _Request:
    rows: Sequence[Row]
    bytes: int
    done: asyncio.Future[list[Written]]


class Writer:
    """Open it, submit to it from any number of requests, close it: then everything accepted has been written."""

    def __init__(self, postgres: Postgres, settings: Settings, on_commit: Callable[[], None] | None = None) -> None:
        self._postgres = postgres
        self._limit = settings.accept_queue_mb * 1_000_000
        self._notify = not settings.embedded_warehouse
        self._on_commit = on_commit
        self._queue: deque[_Request] = deque()
        self._bytes = 0
        self._waiting = 0
        self._open = False
        self._working = 0
        self._flushers: set[asyncio.Task[None]] = set()
        self._months: set[_Month] = set()
        self._careful_until = 0.0

    async def __aenter__(self) -> Writer:
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        while self._flushers:
            await asyncio.gather(*self._flushers)

    @property
    def full(self) -> bool:
        """Whether the queue takes nothing now: then a request need not even be read."""
        return self._bytes >= self._limit

    async def submit_events(self, rows: Sequence[EventRow]) -> list[Verdict | EduError]:
        """Write events; returns after the commit. Raises `TooMany` when the queue is full, `Unavailable`."""
        return [item for item in await self._submit(rows) if isinstance(item, Verdict | EduError)]

    async def submit_responses(self, answers: Sequence[AnswerRow]) -> list[Placed | EduError]:
        """Write answers with their events; returns after the commit. Raises as `submit_events` does."""
        return [item for item in await self._submit(answers) if isinstance(item, Placed | EduError)]

    async def submit_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep what was refused; while the queue is full it waits, for what came with it may be committed already.

        Raises `Unavailable`, and never `TooMany`, which says that nothing was written."""
        try:
            await patiently(self._submit, letters)
        except TooMany:
            raise Unavailable("What was refused could not be kept; the rest is committed.") from None

    async def _submit(self, rows: Sequence[Row]) -> list[Written]:
        if not rows:
            return []
        size = sum(map(_size, rows))
        if size > self._limit:
            raise TooLarge("The request is larger than the queue.", bytes=size, limit=self._limit)
        if self._bytes + size > self._limit:
            raise TooMany("The queue of accepted input is full.", retry_after=1)
        if not self._open:
            raise Unavailable("The writer is closed; nothing was written.")
        request = _Request(rows, size, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._waiting += len(rows)
        self._count(size)
        self._call_flusher()
        return await request.done

    def _count(self, size: int) -> None:
        self._bytes += size
        queue_bytes.set(self._bytes)

    def _call_flusher(self) -> None:
        """One works while anything waits, another while much does."""
        if self._working == 0 or (self._working < _MOST_FLUSHERS and self._waiting >= _MUCH):
            self._working += 1
            flusher = asyncio.create_task(self._run(), name="group commit")
            self._flushers.add(flusher)
            flusher.add_done_callback(self._flushers.discard)

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._flush(self._take())
        finally:
            self._working -= 1

    def _take(self) -> list[_Request]:
        """What is there, up to 5 000 rows; a request is never parted."""
        taken = [self._queue.popleft()]
        rows = len(taken[0].rows)
        while self._queue and rows + len(self._queue[0].rows) <= _MOST_ROWS:
            taken.append(self._queue.popleft())
            rows += len(taken[-1].rows)
        self._waiting -= rows
        return taken

    async def _flush(self, requests: list[_Request]) -> None:
        try:
            written = await self._write([row for request in requests for row in request.rows])
        except Exception as error:
            log.error("a group of rows was not written", error=str(error)[:500], requests=len(requests))
            self._fail(requests, error if isinstance(error, EduError) else Unavailable("Nothing was written."))
        else:
            self._answer(requests, written)
            self._tell()
        finally:
            self._count(-sum(request.bytes for request in requests))

    def _tell(self) -> None:
        """Wake the loader; whatever becomes of that, it looks by itself from time to time, and others wait for us."""
        try:
            failpoint("answered")
            if self._on_commit:
                self._on_commit()
        except Exception as error:
            log.error("the loader was not woken", error=repr(error)[:500])

    def _answer(self, requests: list[_Request], written: list[Written]) -> None:
        start = 0
        for request in requests:
            stop = start + len(request.rows)
            if not request.done.done():
                request.done.set_result(written[start:stop])
            start = stop

    def _fail(self, requests: list[_Request], error: EduError) -> None:
        for request in requests:
            if not request.done.done():
                request.done.set_exception(error)

    async def _write(self, rows: Sequence[Row]) -> list[Written]:
        """Write all rows, or by halves where one is at fault; what was at fault gets its error."""
        try:
            return await self._commit_boldly(rows)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(rows) == 1:
                return [InvalidField(f"The record refuses this: {str(error).splitlines()[0]}", code="refused")]
        half = len(rows) // 2
        return [*await self._write(rows[:half]), *await self._write(rows[half:])]

    async def _commit_boldly(self, rows: Sequence[Row]) -> list[Written]:
        """Write rows as if all events were new; if one is not, write them again with care."""
        if time.monotonic() >= self._careful_until:
            try:
                return await self._commit(rows, new=True)
            except psycopg.errors.UniqueViolation:
                self._careful_until = time.monotonic() + _CAREFUL_SECONDS
        return await self._commit(rows, new=False)

    async def _commit(self, rows: Sequence[Row], *, new: bool) -> list[Written]:
        failpoint("received")
        async with self._postgres.transaction() as connection:
            months = _months(rows) - self._months
            for table, month in sorted(months):
                await ensure_months(connection, [month], [table])
            written = await _store(connection, rows, new)
            failpoint("moved")
            if self._notify:
                await connection.execute("select pg_notify(%s, '')", (CHANNEL,))
        self._months |= months
        failpoint("accepted")
        return written


async def patiently(submit: Callable[[_Given], Awaitable[_Taken]], given: _Given) -> _Taken:
    """Submit; while the queue is full wait and submit again, which slows the sender down. Raises `TooMany` at last."""
    for _ in range(_TRIES):
        try:
            return await submit(given)
        except TooMany as full:
            await asyncio.sleep(full.retry_after)
    return await submit(given)


async def _store(connection: Connection, rows: Sequence[Row], new: bool) -> list[Written]:
    written: list[Written] = [None] * len(rows)
    answers = {number: row for number, row in enumerate(rows) if isinstance(row, AnswerRow)}
    events = {number: row for number, row in enumerate(rows) if isinstance(row, EventRow)}
    letters = [row for row in rows if isinstance(row, DeadLetter)]
    if answers:
        for number, placed in zip(answers, await store_answers(connection, list(answers.values())), strict=True):
            written[number] = placed
    if events:
        statuses = await _store_events(connection, list(events.values()), new)
        for (number, row), status in zip(events.items(), statuses, strict=True):
            written[number] = Verdict(status, row.event_id)
    if letters:
        await store_dead_letters(connection, letters)
    return written


async def _store_events(connection: Connection, rows: Sequence[EventRow], new: bool) -> list[Status]:
    if not new:
        return await store_events(connection, rows)
    await copy_events(connection, rows)
    return ["accepted"] * len(rows)


def _months(rows: Sequence[Row]) -> set[_Month]:
    """The partitions that the rows go to."""
    hours = {(row.event_id.int >> 80) // _HOUR_MS for row in rows if isinstance(row, EventRow)}
    months = {("events", month_of(datetime.fromtimestamp(hour * _HOUR_MS / 1000, UTC))) for hour in hours}
    for row in rows:
        if isinstance(row, AnswerRow):
            months |= {("responses", month_of(row.opened_at)), ("events", month_of(row.submitted_at))}
    return months


def _size(row: Row) -> int:
    if isinstance(row, EventRow):
        return _ROW_BYTES + len(row.props)
    if isinstance(row, DeadLetter):
        return _ROW_BYTES + len(row.payload) + len(row.reason)
    return 2 * _ROW_BYTES + len(row.choice or "")
