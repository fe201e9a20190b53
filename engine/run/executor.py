"""Runs a statement once for everybody who asks the same at the same time, and not at all while its answer is fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.query import QueryResult

from core import clock
from core.errors import Cancelled, ContinueWait
from core.ids import new_id
from core.settings import Settings
from core.telemetry import log
from core.warehouse import Warehouse
from engine.model.catalog import Catalog
from engine.model.columns import Types
from engine.run.cache import Entry, ResultCache, lifetime
from engine.run.columns import read_types
from engine.run.cost import Cost, estimate
from engine.run.limits import Slots, query_settings, with_limits
from engine.run.result import Table, read_table
from engine.sql.statement import Statement

LEAST_PATIENCE = 2.0
"""For so many seconds at least a client that was told to wait may be on its way to ask again."""
_KILL = "KILL QUERY WHERE Settings['log_comment'] = {id:String} ASYNC"


@dataclass(eq=False, slots=True)
class Job:
    """A running statement, how many wait for it, who asked, and to how many its answer is owed: they were told to
    ask again, and then want this answer, not the next one."""

    key: tuple[Hashable, Hashable, bool]
    task: asyncio.Task[Table]
    id: str = ""
    started: float = field(default_factory=time.monotonic)
    waiters: int = 0
    owed: int = 0
    requesters: set[Hashable] = field(default_factory=set)


class Executor:
    """Questions to one warehouse: cached, joined, limited, cancelled when nobody waits for them any more."""

    def __init__(
        self,
        warehouse: Warehouse,
        catalog: Catalog,
        settings: Settings,
        data_version: Callable[[], Hashable] | None = None,
    ) -> None:
        """`data_version` changes with every batch of new rows; without it an answer is kept for less than a second."""
        self.catalog = catalog
        self._warehouse = warehouse
        self._limits = query_settings(settings, embedded=warehouse.embedded)
        self._patience = max(settings.continue_wait_seconds, LEAST_PATIENCE)
        self._version = data_version or (lambda: None)
        self._cache = ResultCache()
        self._slots = Slots(settings.query_threads)
        self._jobs: dict[tuple[Hashable, Hashable, bool], Job] = {}
        self._owed: dict[Hashable, Job] = {}
        self._kills: set[asyncio.Task[None]] = set()

    async def run(
        self,
        statement: Statement,
        *,
        cached: bool = True,
        wait: float | None = None,
        requester: Hashable | None = None,
    ) -> Table:
        """The rows of a statement; ContinueWait if they are not there after `wait` seconds (ask again to join).

        `requester` names the request by which `cancel` finds it again.
        """
        version = self._version()
        key = _key(statement)
        if cached and (table := self._cache.get(key, version, time.monotonic())):
            return table
        job = self._known(key, version, cached)
        if job is None:
            job = self._start(statement, key, version, cached)
        job.requesters.add(object() if requester is None else requester)
        return await self._await(job, wait)

    async def estimate(self, statement: Statement) -> Cost:
        """What the statement would read; nothing is run."""
        settings = with_limits(self._limits, statement.settings)

        async def ask(sql: str, parameters: Mapping[str, Any]) -> QueryResult:
            return await self._warehouse.query(sql, dict(parameters), settings)

        return await estimate(ask, statement)

    async def types(self) -> Types:
        """The types of the columns that the cubes read."""
        return await read_types(self._warehouse, self.catalog)

    def runs(self, requester: Hashable) -> bool:
        """Whether anything runs for this request."""
        return any(requester in job.requesters and not job.task.done() for job in self._jobs.values())

    def cancel(self, requester: Hashable) -> int:
        """Stop what runs for this request and for no other; how many statements were stopped."""
        mine = [job for job in self._jobs.values() if requester in job.requesters and not job.task.done()]
        for job in mine:
            job.requesters.discard(requester)
        alone = [job for job in mine if not job.requesters]
        for job in alone:
            self._stop(job)
        return len(alone)

    def _known(self, key: Hashable, version: Hashable, cached: bool) -> Job | None:
        """The job to join: one whose answer is owed, whatever has been loaded since, or one over the same data."""
        owed = self._owed.get((key, cached))
        if owed is None:
            return self._jobs.get((key, version, cached))
        if owed.task.done():
            owed.owed -= 1
            if owed.owed <= 0:
                self._forget(owed)
        return owed

    def _forget(self, job: Job) -> None:
        place = _place(job)
        if self._owed.get(place) is job:
            del self._owed[place]

    def _start(self, statement: Statement, key: Hashable, version: Hashable, cached: bool) -> Job:
        job_key = (key, version, cached)
        name = new_id().hex
        task = asyncio.create_task(self._work(statement, name, key, version))
        job = self._jobs[job_key] = Job(job_key, task, name)
        task.add_done_callback(lambda done: self._finished(job, done))
        return job

    def _finished(self, job: Job, task: asyncio.Task[Table]) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        if job.owed:
            asyncio.get_running_loop().call_later(self._patience, self._forget, job)
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it

    async def _work(self, statement: Statement, name: str, key: Hashable, version: Hashable) -> Table:
        asked = time.monotonic()
        async with self._slots.place(name):
            settings = with_limits(self._limits, statement.settings) | {"log_comment": name, "query_id": name}

            def read(client: Client) -> Table:
                result = client.query(statement.sql, parameters=_named(statement), settings=settings)
                return read_table(result, statement.columns, clock.now())

            table = await self._warehouse.run(read)
        cubes = [self.catalog.cubes[cube] for cube in statement.cubes if cube in self.catalog.cubes]
        self._cache.put(key, Entry(table, version, asked, lifetime(cubes)))
        return table

    async def _await(self, job: Job, wait: float | None) -> Table:
        job.waiters += 1
        patience = 0.0
        try:
            await asyncio.wait({job.task}, timeout=wait)
            if job.task.cancelled():
                raise Cancelled
            if job.task.done():
                return job.task.result()
            patience = self._patience
            job.owed += 1
            self._owed[_place(job)] = job
            raise self._continue(job)
        finally:
            job.waiters -= 1
            if not job.waiters and not job.task.done():
                asyncio.get_running_loop().call_later(patience, self._give_up, job)

    def _continue(self, job: Job) -> ContinueWait:
        position = self._slots.position(job.id)
        stage = f"#{position} in queue" if position else "Executing query"
        return ContinueWait(stage=stage, time_elapsed=round((time.monotonic() - job.started) * 1000))

    def _give_up(self, job: Job) -> None:
        """Stop a query for which nobody has waited or asked again."""
        if not job.waiters and not job.task.done():
            self._stop(job)

    def _stop(self, job: Job) -> None:
        self._forget(job)
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        if self._slots.position(job.id):
            job.task.cancel()
            return
        kill = asyncio.create_task(self._kill(job.id))
        self._kills.add(kill)
        kill.add_done_callback(self._kills.discard)

    async def _kill(self, name: str) -> None:
        """By a thread of its own: those of the pool may all be busy with what is to be stopped."""

        def work(client: Client) -> Any:
            return client.query(_KILL, parameters={"id": name})

        try:
            await asyncio.to_thread(self._warehouse.call, work)
        except Exception as error:  # the time limit of the query still holds
            log.warning("kill_failed", query_id=name, reason=str(error))


def _named(statement: Statement) -> dict[str, Any]:
    """The parameters which the SQL names. The driver takes one that is not named for one to put in by `%`."""
    return {name: value for name, value in statement.parameters.items() if f"{{{name}:" in statement.sql}


def _place(job: Job) -> Hashable:
    """What a re-poll asks for: the statement and whether a kept answer will do, not the version of the data."""
    key, _, cached = job.key
    return key, cached


def _key(statement: Statement) -> Hashable:
    parameters = tuple((name, _frozen(value)) for name, value in statement.parameters.items())
    return statement.sql, parameters, tuple(statement.settings.items()), statement.policy


def _frozen(value: Any) -> Hashable:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
