"""The loop that brings committed rows to ClickHouse: woken by a commit, and every `loader_poll_ms` unasked.

One loader of a database is elected; the others wait and take over when it dies. Errors of a store make it wait
longer and longer (to 5 s); Postgres keeps the rows meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import psycopg

from core.errors import EduError, RefusedByStore, TooLarge, Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import log
from core.warehouse import Warehouse
from ingestion import pruning, troubles
from ingestion.amendments.replay import replay
from ingestion.amendments.run import amend
from ingestion.archive.erasure import eraser
from ingestion.audit import audit_by_the_clock
from ingestion.batches import Fenced, prepared, read_progress
from ingestion.courtesy import Courtesy
from ingestion.dimensions import load_dimensions
from ingestion.facts import load_facts
from ingestion.jobs import work_on_jobs
from ingestion.origin import Foreign, check_origin
from ingestion.pipelines import CHANNEL, DIMENSIONS, FACTS, Pipeline, changes_query, window_parameters
from ingestion.rebuild import rebuild
from ingestion.recovery import recover
from ingestion.replay import drop_twins
from ingestion.term import Term, elect
from ingestion.windows import Snapshot

T = TypeVar("T")
_MOST_SECONDS = 5.0
_STANDBY_SECONDS = 1.0
# Each pass makes a part in each table; more than ten a second would keep ClickHouse merging.
_LEAST_SECONDS = 0.1
# While rows are read from Postgres, a request waits so long for Python's lock instead of 5 ms.
_SWITCH_SECONDS = 0.0005


class Loader:
    """`run` until stopped; `wake` after a commit; `drain` until all that is committed now can be queried."""

    def __init__(self, postgres: Postgres | str, warehouse: Warehouse, settings: Settings) -> None:
        self.url = postgres if isinstance(postgres, str) else postgres.url
        self._warehouse = warehouse
        self._settings = settings
        self.courtesy = Courtesy()
        self._term: Term | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._awake = asyncio.Event()
        self._running = False
        self._draining = 0
        self._past = 0

    @property
    def data_version(self) -> int:
        """Grows after each batch; two answers computed at one version are equal."""
        return self._past + (self._term.batches if self._term else 0)

    @property
    def leads(self) -> bool:
        """Whether this loader is the elected one."""
        return self._term is not None

    def wake(self) -> None:
        """There are new rows; call it on the event loop."""
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Load until `stop` is set; then finish the batch at hand and give the office up."""
        self._running = True
        sys.setswitchinterval(_SWITCH_SECONDS)
        helpers = [asyncio.create_task(self._stop_at(stop))]
        if not self._settings.embedded_warehouse:
            helpers.append(asyncio.create_task(self._listen()))
        failures = 0
        try:
            while not stop.is_set():
                began = time.monotonic()
                failures = 0 if await self._try_pass() else failures + 1
                least = min(_LEAST_SECONDS * 2**failures, _MOST_SECONDS)
                await self._sleep(self._pause())
                await self._sleep_until(began + least, stop)
        finally:
            self._running = False
            for helper in helpers:
                helper.cancel()
            await self.resign()

    async def drain(self, seconds: float = 60) -> None:
        """Return when every row committed before the call is queryable; raises `Unavailable` after `seconds`."""
        self._draining += 1
        try:
            async with asyncio.timeout(seconds):
                target = await asyncio.to_thread(_snapshot, self.url)
                while await asyncio.to_thread(_waiting, self.url, target):
                    if self._running:
                        self.wake()
                        await asyncio.sleep(0.01)
                    elif not await self.load():
                        await asyncio.sleep(0.01)
        except TimeoutError:
            raise Unavailable("ClickHouse has not caught up.", hint="See `status` for the lag.") from None
        finally:
            self._draining -= 1

    async def load(self, *, patient: bool = False) -> int:
        """One pass over all pipelines, if this loader is or becomes the elected one; returns the rows brought.

        `patient`: a pipeline whose rows may wait is looked at only from time to time.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._pass, patient)

    async def between(self, work: Callable[[Term], T]) -> T | None:
        """Do something between two passes, when no row is on its way; None if this loader does not lead."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._between, work)

    def changed(self) -> None:
        """What ClickHouse holds was changed by others: answers that are kept are old."""
        self._past += 1
        if self._term:
            self._term.amended += 1

    async def resign(self) -> None:
        """Give the office up, so that another loader can be elected."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._resign)

    async def close(self) -> None:
        """Give the office up for good."""
        await self.resign()
        self._thread.shutdown(wait=False)

    async def _try_pass(self) -> bool:
        try:
            await self.load(patient=not self._draining)
        except Fenced:
            log.warning("another loader has taken over")
        except Exception as error:  # whatever it is: a loader that ends leaves everybody with old numbers
            log.error("loading failed; it will be tried again", error=repr(error)[:500])
            return False
        return True

    def _pause(self) -> float:
        if self._term is None:
            return _STANDBY_SECONDS
        return 0 if self._term.work else self._settings.loader_poll_ms / 1000

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)
        self._awake.clear()

    async def _sleep_until(self, moment: float, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(moment - time.monotonic(), 0))

    async def _stop_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        if self._term:
            self._term.stopping.set()
        self.wake()

    async def _listen(self) -> None:
        """Commits of other processes; the poll covers what is missed while the connection is down."""
        while True:
            with suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    async for _ in connection.notifies():
                        self.wake()
            await asyncio.sleep(_MOST_SECONDS)

    def _pass(self, patient: bool) -> int:
        if self._term and self._term.lost.is_set():
            self._resign()
        if self._term is None:
            options = (self._settings.batch_rows, self._settings.loader_takeover_seconds)
            self._term = elect(self.url, self._warehouse, *options)
            if self._term:
                self._term.courtesy = self.courtesy
        if self._term is None:
            return 0
        try:
            return load_all(self._term, self._settings, patient=patient)
        except Exception as error:
            if isinstance(error, Fenced) or not isinstance(error, EduError):
                self._resign()
            raise

    def _between(self, work: Callable[[Term], T]) -> T | None:
        if self._term is None:
            return None
        self._term.amended += 1
        return work(self._term)

    def _resign(self) -> None:
        if self._term:
            self._past += self._term.batches
            self._term.end()
            self._term = None


def load_all(term: Term, settings: Settings, *, patient: bool = False) -> int:
    """Unconfirmed batches first, then amendments, dimensions, the facts that point to them; returns the rows brought.

    A pipeline that fails holds up no other; the first error is raised when all have had their turn. `patient`: one
    that has failed just now rests first. Audits, pruning and work on command come last, a piece at a time.
    """
    _settle(term)
    rows, errors = 0, dict[str, Exception]()
    for name, load, last in _turns(term, settings, patient):
        if name in errors or (patient and troubles.rests(term, name)):
            continue
        try:
            rows += load() or 0
        except (Fenced, psycopg.OperationalError):
            raise
        except (EduError, psycopg.Error) as error:
            troubles.note(term, [name], error)
            errors[name] = error
        else:
            if last:
                troubles.clear(term, name)
    if not term.stopping.is_set():
        work_on_jobs(term)
    if errors:
        raise next(iter(errors.values()))
    if patient and not term.stopping.is_set():
        audit_by_the_clock(term, settings)
        pruning.prune_by_the_clock(term, settings)
    return rows


def _settle(term: Term) -> None:
    """What a new loader does once: is this the record that ClickHouse came from, and has ClickHouse lost its tables?"""
    if not term.fresh:
        return
    try:
        check_origin(term)
        rebuild(term)
        drop_twins(term)
        replay(term)
    except EduError as error:
        troubles.note(term, [*(pipeline.name for pipeline in FACTS), DIMENSIONS], error)
        if isinstance(error, Foreign):
            work_on_jobs(term, only="rebase")
        raise
    term.fresh = False


def _turns(term: Term, settings: Settings, patient: bool) -> Iterator[tuple[str, Callable[[], int | None], bool]]:
    """What is done in a pass: the pipeline, its work, and whether that is its last work."""
    for pipeline in FACTS:
        yield pipeline.name, partial(recover, term, pipeline), False
    yield "amendments", partial(amend, term, eraser(term.url, settings)), False
    yield DIMENSIONS, partial(load_dimensions, term), True
    for pipeline in FACTS:
        if not patient or _is_due(term, pipeline):
            yield pipeline.name, partial(_load, term, pipeline), True


def _load(term: Term, pipeline: Pipeline) -> int:
    """The facts of one pipeline; what ClickHouse refuses is set aside, what is too much is divided, at once."""
    try:
        return load_facts(term, pipeline)
    except (RefusedByStore, TooLarge):
        return recover(term, pipeline)


def _is_due(term: Term, pipeline: Pipeline) -> bool:
    """Whether a pipeline's patience has run out."""
    moment = time.monotonic()
    if moment - term.looked.get(pipeline.name, -pipeline.patience) < pipeline.patience:
        return False
    term.looked[pipeline.name] = moment
    return True


def _snapshot(url: str) -> Snapshot:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select pg_current_snapshot()::text").fetchall()[0]
    return Snapshot.parse(row[0])


def _waiting(url: str, target: Snapshot) -> bool:
    """Whether a row that `target` sees has not been loaded."""
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        if connection.execute("select count(*) as n from pipelines").fetchall()[0]["n"] <= len(FACTS):
            return True
        for name, query in [*((p.name, p.oldest_query()) for p in FACTS), (DIMENSIONS, changes_query())]:
            progress = read_progress(connection, name)
            if progress.done.covers(target):
                continue
            parameters = window_parameters(progress.done, target, progress.key, 1, progress.floor)
            if progress.open or prepared(connection, name) or connection.execute(query, parameters).fetchone():
                return True
    return False
