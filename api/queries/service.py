"""What the query routes do, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import orjson

from api.queries.meta import meta_body
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

    async def load(
        self,
        payload: Any,
        context: SecurityContext,
        *,
        multi: bool,
        cache: str | None,
        requester: Hashable | None = None,
        seen: Callable[[Answer], Awaitable[None]] | None = None,
    ) -> bytes:
        """/load; ContinueWait while the query still runs. `seen` is told the answer before anybody gets it."""
        request = self.engine.normalize(payload, cache)
        if not multi:
            check_single(request)
        answer: Answer = await self.engine.run(request, context, wait=self._wait, requester=requester)
        if seen:
            await seen(answer)
        if any(result.is_large for result in answer.results):
            return await asyncio.to_thread(_written, answer, multi)
        return _written(answer, multi)

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


def _written(answer: Answer, multi: bool) -> bytes:
    return orjson.dumps(load_body(answer, multi=multi))


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
