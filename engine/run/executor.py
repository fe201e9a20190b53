"""Runs a statement once for everybody who asks the same at the same time, and not at all while its answer is fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client

from core import clock
from core.errors import ContinueWait
from core.ids import new_id
from core.settings import Settings
from core.telemetry import log
from core.warehouse import Warehouse
from engine.model.catalog import Catalog
from engine.run.cache import Entry, ResultCache, lifetime
from engine.run.limits import Slots, query_settings, with_limits
from engine.run.result import Table, read_table
from engine.sql.statement import Statement

LEAST_PATIENCE = 2.0
"""For so many seconds at least a client that was told to wait may be on its way to ask again."""
_KILL = "KILL QUERY WHERE Settings['log_comment'] = {id:String} ASYNC"


@dataclass(eq=False, slots=True)
class Job:
    """A running statement and how many wait for it."""

    key: Hashable
    task: asyncio.Task[Table]
    id: str = ""
    started: float = field(default_factory=time.monotonic)
    waiters: int = 0


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
        self._jobs: dict[Hashable, Job] = {}
        self._kills: set[asyncio.Task[None]] = set()

    async def run(self, statement: Statement, *, cached: bool = True, wait: float | None = None) -> Table:
        """The rows of a statement; ContinueWait if they are not there after `wait` seconds (ask again to join)."""
        version = self._version()
        key = _key(statement)
        if cached and (table := self._cache.get(key, version, time.monotonic())):
            return table
        job = self._jobs.get((key, version, cached))
        if job is None:
            job = self._start(statement, key, version, cached)
        return await self._await(job, wait)

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
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it

    async def _work(self, statement: Statement, name: str, key: Hashable, version: Hashable) -> Table:
        asked = time.monotonic()
        async with self._slots.place(name):
            settings = with_limits(self._limits, statement.settings) | {"log_comment": name, "query_id": name}

            def read(client: Client) -> Table:
                result = client.query(statement.sql, parameters=dict(statement.parameters), settings=settings)
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
            if job.task.done():
                return job.task.result()
            patience = self._patience
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
        if job.waiters or job.task.done():
            return
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


def _key(statement: Statement) -> Hashable:
    parameters = tuple((name, _frozen(value)) for name, value in statement.parameters.items())
    return statement.sql, parameters, tuple(statement.settings.items()), statement.policy


def _frozen(value: Any) -> Hashable:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
