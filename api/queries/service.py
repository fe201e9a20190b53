"""What the query routes do, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import orjson

from api.audit.personal import Seen, seen_in
from api.queries.meta import meta_body
from api.queries.repeated import Repeated, Told, key_of
from api.queries.shapes import check_single, dry_run_body, load_body, sql_body
from core.errors import AccessDenied, NotFound
from engine.query.access import SecurityContext
from engine.run.discretion import may_read_filters
from engine.run.engine import Answer, Engine


class Queries:
    """Cube's endpoints over an engine; each returns the body as bytes."""

    def __init__(self, engine: Engine, wait: float) -> None:
        """`wait`: after so many seconds the client is told to ask again."""
        self.engine = engine
        self._wait = wait
        self._repeated = Repeated()

    async def load(
        self,
        payload: Any,
        context: SecurityContext,
        *,
        multi: bool,
        cache: str | None,
        words: Hashable | None = None,
        requester: Hashable | None = None,
        note: Callable[[Seen], Awaitable[None]] | None = None,
    ) -> bytes:
        """/load; ContinueWait while the query still runs. `note` is told whom the answer shows, before anybody gets it.

        `words` are all that the caller sent, from which the rest was read: what is asked in the same words again is
        not read, planned and written again.
        """
        key = None if words is None else key_of(words, context)
        known = None if key is None else self._repeated.get(key)
        if known is None:
            request = self.engine.normalize(payload, cache)
            if not multi:
                check_single(request)
        else:
            request = known.answer.request
        before = known.answer if known else None
        answer = await self.engine.run(request, context, wait=self._wait, requester=requester, before=before)
        if known is None or known.answer is not answer:
            known = Told(answer, seen_in(self.engine.catalog, answer), await _written(answer, multi))
            if key is not None:
                self._repeated.keep(key, known)
        if note and known.seen:
            await note(known.seen)
        return known.body

    async def sql(self, payload: Any, context: SecurityContext) -> bytes:
        """/sql, for operators; for everybody where the models have no policies."""
        request = self.engine.normalize(payload)
        await self.engine.ready()
        statements = self.engine.compile(request, context)
        if not may_read_filters(self.engine.catalog, context):
            raise AccessDenied("Only an operator may read the SQL: it holds the row filters.", hint="Ask /dry-run.")
        return orjson.dumps(sql_body(statements, request), default=str)

    async def dry_run(self, payload: Any, context: SecurityContext) -> bytes:
        """/dry-run: everything but running it; with what it would read, and which rollups could serve it."""
        request = self.engine.normalize(payload)
        checked = await self.engine.check(request, context)
        return orjson.dumps(dry_run_body(request, checked))

    async def meta(self, context: SecurityContext, *, extended: bool, only_views: bool) -> bytes:
        """/meta."""
        body = meta_body(self.engine.catalog, context, extended=extended, only_views=only_views)
        return orjson.dumps(body, default=str)

    def cancel(self, request_id: str, requester: Hashable) -> bytes:
        """/running-query: what runs for the request alone is stopped; NotFound where nothing runs for it."""
        if not self.engine.executor.runs(requester):
            raise NotFound("No question of yours runs under this x-request-id.")
        stopped = self.engine.executor.cancel(requester)
        return orjson.dumps({"requestId": request_id, "cancelled": stopped, "result": stopped > 0})


async def _written(answer: Answer, multi: bool) -> bytes:
    def write() -> bytes:
        return orjson.dumps(load_body(answer, multi=multi))

    return await asyncio.to_thread(write) if any(result.is_large for result in answer.results) else write()


async def while_connected(work: Awaitable[bytes], disconnected: Callable[[], Awaitable[None]]) -> bytes | None:
    """The result of `work`; None if the client went away first, and then the work is cancelled.

    What needs not wait for anything, as an answer that is kept, is done before anybody looks whether he is there.
    """
    job = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    if job.done():
        return job.result()
    gone = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        return job.result() if job.done() else None
    finally:
        job.cancel()
        gone.cancel()
