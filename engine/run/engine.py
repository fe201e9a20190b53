"""The whole way of a question: JSON → normalised → compiled → run → Cube's form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from core import clock
from core.errors import RefusedByStore
from core.settings import Settings
from engine.compiler import compile_query, match_query
from engine.model.catalog import Catalog
from engine.plan.rollups.matching import Match
from engine.query.access import SecurityContext
from engine.query.normalisation import BLENDING, Request, normalize
from engine.query.request import Query
from engine.run.annotation import annotate
from engine.run.blame import blamed
from engine.run.columns import KnownTypes
from engine.run.cost import Cost
from engine.run.discretion import discreet, told
from engine.run.executor import Executor
from engine.run.result import Result, Table
from engine.sql.statement import Column, Statement

Ask = Callable[[Statement], Awaitable[Table]]
_TOTAL = (Column("total", "measure", "number", "total"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request asked, how it was planned, and the results in the order of its queries."""

    request: Request
    results: tuple[Result, ...]
    catalog: Catalog
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What one query would read, and which rollups could serve it if they were built."""

    cost: Cost
    rollups: tuple[Match, ...]


class Engine:
    """A catalog over an executor: the one way in which anybody reads the numbers."""

    def __init__(self, catalog: Catalog, executor: Executor, settings: Settings) -> None:
        self.executor = executor
        self._known = KnownTypes(catalog, executor.types)
        self._settings = settings

    @property
    def catalog(self) -> Catalog:
        """What is planned by: the models, and the types of columns as far as they are known."""
        return self._known.catalog

    async def ready(self) -> None:
        """Know the types of columns, if ClickHouse tells them in time; without them SQL is slower, not wrong."""
        await self._known.ready()

    def normalize(self, payload: Any, cache: str | None = None) -> Request:
        """The request at this moment, in the service's time zone if it names none."""
        return normalize(payload, now=clock.now(), default_time_zone=self._settings.time_zone, cache=cache)

    def compile(self, request: Request, context: SecurityContext) -> list[Statement]:
        """The statement of each query for this caller; QueryError or AccessDenied, each with its place in the JSON."""
        statements = []
        for index, query in enumerate(request.queries):
            with blamed(self.catalog, request, index, context):
                statements.append(compile_query(self.catalog, query, context))
        return statements

    async def check(self, request: Request, context: SecurityContext) -> list[Checked]:
        """Everything but running it: each query compiled, its cost estimated, its rollups matched."""
        await self.ready()
        statements = self.compile(request, context)
        costs = await asyncio.gather(*(self.executor.estimate(each) for each in statements))
        costs = [told(cost, self.catalog, context) for cost in costs]
        matches = [match_query(self.catalog, query, context) for query in request.queries]
        return [Checked(*pair) for pair in zip(costs, matches, strict=True)]

    async def load(
        self, payload: Any, context: SecurityContext, *, cache: str | None = None, wait: float | None = None
    ) -> Answer:
        """The answer to `payload` for this caller.

        `cache` is one of Cube's modes and wins over the payload's; ContinueWait after `wait` seconds without an answer.
        """
        return await self.run(self.normalize(payload, cache), context, wait=wait)

    async def run(
        self,
        request: Request,
        context: SecurityContext,
        *,
        wait: float | None = None,
        requester: Hashable | None = None,
        before: Answer | None = None,
    ) -> Answer:
        """The answer to a normalised request; `requester` may stop it by `executor.cancel`.

        `before` is an earlier answer to this request and this caller: it is planned as it was, and it is the answer
        again if the rows are still the same.
        """
        await self.ready()
        ask = partial(self.executor.run, cached=request.cache != "no-cache", wait=wait, requester=requester)
        try:
            return await self._answer(request, context, ask, before)
        except RefusedByStore:
            if not await self._known.refresh():
                raise
            return await self._answer(request, context, ask, None)  # tables have been altered since

    async def _answer(self, request: Request, context: SecurityContext, ask: Ask, before: Answer | None) -> Answer:
        catalog = self.catalog
        if before is None or before.catalog is not catalog:
            before, statements = None, tuple(self.compile(request, context))
        else:
            statements = before.statements
        earlier = before.results if before else [None] * len(statements)
        one = [self._one(index, statements[index], request, context, ask, same) for index, same in enumerate(earlier)]
        with discreet(catalog, context):
            results = [await one[0]] if len(one) == 1 else await asyncio.gather(*one)
        if before and all(new is old for new, old in zip(results, earlier, strict=True)):
            return before
        return Answer(request, tuple(results), catalog, statements)

    async def _one(
        self,
        index: int,
        statement: Statement,
        request: Request,
        context: SecurityContext,
        ask: Ask,
        before: Result | None,
    ) -> Result:
        query = request.queries[index]
        total: int | None = None
        if query.total and statement.total is not None:
            table, total = await asyncio.gather(self._rows(query, statement, ask), _total(statement, ask))
        else:
            table = await self._rows(query, statement, ask)
        if before and before.table is table and before.total == total:
            return before
        return Result(
            query,
            request.echoes[index],
            statement.columns,
            table,
            annotate(self.catalog, query, context),
            total,
            _constants(request, query),
            _copies(request, query),
        )

    async def _rows(self, query: Query, statement: Statement, ask: Ask) -> Table:
        if query.limit == 0:
            return Table(tuple([] for _ in statement.columns), clock.now())
        return await ask(statement)


async def _total(statement: Statement, ask: Ask) -> int:
    # The driver takes `%` for a mark of its own where it is given parameters that the text has no place for.
    bound = {name: value for name, value in statement.parameters.items() if name not in ("limit", "offset")}
    count = replace(statement, sql=statement.total or "", parameters=bound, columns=_TOTAL, total=None)
    return int((await ask(count)).columns[0][0])


def _constants(request: Request, query: Query) -> tuple[tuple[str, str], ...]:
    """Each row of a comparison names its range."""
    if request.compared is None:
        return ()
    span = query.time_dimensions[request.compared].date_range
    return (("compareDateRange", " - ".join(map(str, span or ()))),)


def _copies(request: Request, query: Query) -> tuple[tuple[str, str], ...]:
    """Each row of a blend carries its time under one common name."""
    if request.type != BLENDING:
        return ()
    time = next((each for each in query.time_dimensions if each.granularity), None)
    return ((f"time.{time.granularity}", f"{time.dimension}.{time.granularity}"),) if time else ()
