"""The loop that brings committed rows to ClickHouse: woken by a commit, and every `loader_poll_ms` unasked.

One loader of a database is elected; the others wait and take over when it dies. Errors of a store make it wait
longer and longer (to 5 s); Postgres keeps the rows meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg

from core.errors import EduError, Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import log
from core.warehouse import Warehouse
from ingestion.batches import Fenced, prepared, read_progress
from ingestion.dimensions import load_dimensions
from ingestion.facts import load_facts
from ingestion.pipelines import CHANNEL, DIMENSIONS, FACTS, Pipeline, changes_query, window_parameters
from ingestion.rebuild import rebuild
from ingestion.recovery import recover
from ingestion.term import Term, elect
from ingestion.windows import Snapshot

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
                await self._sleep(self._settings.loader_poll_ms / 1000 if self.leads else _STANDBY_SECONDS)
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
                    else:
                        await self.load()
        except TimeoutError:
            raise Unavailable("ClickHouse has not caught up.", hint="See `status` for the lag.") from None
        finally:
            self._draining -= 1

    async def load(self, *, patient: bool = False) -> int:
        """One pass over all pipelines, if this loader is or becomes the elected one; returns the rows brought.

        `patient`: a pipeline whose rows may wait is looked at only from time to time.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._pass, patient)

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
        if self._term is None:
            self._term = elect(self.url, self._warehouse, self._settings.batch_rows)
        if self._term is None:
            return 0
        try:
            return load_all(self._term, patient=patient)
        except Exception as error:
            if isinstance(error, Fenced) or not isinstance(error, EduError):
                self._resign()
            raise

    def _resign(self) -> None:
        if self._term:
            self._past += self._term.batches
            self._term.end()
            self._term = None


def load_all(term: Term, *, patient: bool = False) -> int:
    """Unconfirmed batches first, then the dimensions, then the facts that point to them; returns the rows brought."""
    if term.fresh:
        rebuild(term)
    rows = sum(recover(term, pipeline) for pipeline in FACTS)
    term.fresh = False
    rows += load_dimensions(term)
    return rows + sum(load_facts(term, pipeline) for pipeline in FACTS if not patient or _is_due(term, pipeline))


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
            parameters = window_parameters(progress.done, target, progress.key, 1)
            if progress.open or prepared(connection, name) or connection.execute(query, parameters).fetchone():
                return True
    return False
