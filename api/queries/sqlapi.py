"""Questions in SQL: translated, then asked like any other; the answer as JSON lines, in Cube's form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import orjson

from api.audit.personal import Seen, seen_in
from api.queries.shapes import iso
from core import clock
from core.settings import Settings
from engine.model.catalog import Measure
from engine.query.access import SecurityContext
from engine.query.normalisation import Request
from engine.run.annotation import describe
from engine.run.engine import Answer, Engine
from engine.sqlapi import Translation, translate
from engine.sqlapi.columns import Shown

Json = dict[str, Any]
LONG = 2_000
"""Texts of so many characters are read on a thread."""
_PIECE = 500
_TYPES = {"number": "Double", "boolean": "Boolean", "time": "Timestamp"}


class SqlQuestions:
    """`/cubesql` and `/convert-query` over an engine."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self._zone = settings.time_zone

    async def lines(
        self,
        text: Any,
        context: SecurityContext,
        *,
        timezone: str | None = None,
        cache: str | None = None,
        wait: float | None = None,
        requester: Hashable | None = None,
        note: Callable[[Seen], Awaitable[None]] | None = None,
    ) -> bytes:
        """The schema and the rows, a JSON object a line; ContinueWait after `wait` seconds, never where it is None."""
        translation = await self._translated(text, context, timezone)
        with translation.told_in_sql():
            request = self._request(translation, cache)
            answer = await self.engine.run(request, context, wait=wait, requester=requester)
        seen = seen_in(self.engine.catalog, answer)
        if note and seen:
            await note(seen)
        if answer.results[0].is_large:
            return await asyncio.to_thread(self._written, translation, answer)
        return self._written(translation, answer)

    async def converted(self, text: Any, context: SecurityContext, *, timezone: str | None = None) -> bytes:
        """The question as JSON, for `/load`; the caller must be allowed to ask it."""
        translation = await self._translated(text, context, timezone)
        with translation.told_in_sql():
            await self.engine.ready()
            self.engine.compile(self._request(translation, None), context)
        return orjson.dumps({"status": "ok", "query": translation.payload})

    async def _translated(self, text: Any, context: SecurityContext, timezone: str | None) -> Translation:
        given = text, self.engine.catalog, context, timezone or self._zone, clock.now()
        if isinstance(text, str) and len(text) > LONG:
            return await asyncio.to_thread(translate, *given)
        return translate(*given)

    def _request(self, translation: Translation, cache: str | None) -> Request:
        """The request; without a LIMIT all rows are wanted, and more than ClickHouse may give are an error."""
        request = self.engine.normalize(translation.payload, cache)
        if "limit" in translation.payload:
            return request
        return replace(request, queries=tuple(replace(query, limit=None) for query in request.queries))

    def _written(self, translation: Translation, answer: Answer) -> bytes:
        result = answer.results[0]
        columns = {each.member: values for each, values in zip(result.members, result.table.columns, strict=True)}
        head: Json = {"schema": [self._column(each) for each in translation.shown]}
        head["lastRefreshTime"] = iso(result.table.refreshed)
        shown = [columns[each.term.column] for each in translation.shown]
        return b"\n".join([orjson.dumps(head), *_data(shown), b""])

    def _column(self, shown: Shown) -> Json:
        term = shown.term
        told = describe(self.engine.catalog, self.engine.catalog.member(term.full))
        counts = isinstance(term.member, Measure) and term.member.type.startswith("count")
        column = {"name": shown.name, "column_type": "Int64" if counts else _TYPES.get(term.type, "String")}
        return column | {key: told[key] for key in ("format", "currency") if key in told}


def _data(columns: Sequence[Sequence[Any]]) -> list[bytes]:
    """The rows, some hundred a line; one empty line where there are none, for the client waits for it."""
    rows, lines = zip(*columns, strict=True), []
    while piece := list(islice(rows, _PIECE)):
        lines.append(orjson.dumps({"data": piece}))
    return lines or [orjson.dumps({"data": []})]
