"""Each hour, by the elected loader's process: months ahead, what schools keep no longer, what is due for the archive.

Off the hot path: a thread of its own. Only what deletes rows of the record that a batch might hold is done on the
loader's thread, between two passes. A clock that jumps into another month is noticed within seconds.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from psycopg.types.json import Jsonb

from core.clock import now
from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import log, record_months_ahead
from core.warehouse import Warehouse
from ingestion.archive import retention
from ingestion.archive.manifest import Busy, office
from ingestion.archive.months import run
from ingestion.archive.store import open_store
from ingestion.loader import Loader
from ingestion.partitions import ensure_ahead, month_of, months_ahead

EVERY_SECONDS = 3600.0
MONTHS_AHEAD = 3
_LOOK_SECONDS = 2.0
_NOTE = """
insert into housekeeping (name, ran_at, seconds, problem, result)
values ('hourly', %(ran_at)s, %(seconds)s, %(problem)s, %(result)s)
on conflict (name) do update set ran_at = excluded.ran_at, seconds = excluded.seconds, problem = excluded.problem,
                                 result = excluded.result
"""
_LAST = "select ran_at, seconds, problem, result from housekeeping where name = 'hourly'"
_ARCHIVE = """
select count(distinct (table_name, month)) as months, coalesce(sum(f.rows), 0)::bigint as rows,
       coalesce(sum(f.bytes), 0)::bigint as bytes,
       (select count(*) from archive_months where problem is not null) as problems
from archive_files f
"""


class Housekeeping:
    """`run` until stopped; `tend` does all of it once."""

    def __init__(self, postgres: Postgres, warehouse: Warehouse, settings: Settings, loader: Loader) -> None:
        self._postgres = postgres
        self._warehouse = warehouse
        self._settings = settings
        self._loader = loader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="housekeeping")
        self._last: tuple[float, object] = (float("-inf"), None)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            if self._loader.leads and self._is_due():
                self._last = (time.monotonic(), month_of(now()))
                with suppress(Exception):  # it is logged and kept; the next hour tries again
                    await self.tend()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
        self._thread.shutdown(wait=True)

    async def tend(self) -> dict[str, Any]:
        """Once, now; what was done. What went wrong is kept in `housekeeping` and raised."""
        began, moment, problem, result = time.monotonic(), now(), None, dict[str, Any]()
        try:
            await self._tend(result)
        except Exception as error:
            problem = str(error)[:500]
            log.error("housekeeping failed; it will be tried again", error=problem, kind=type(error).__name__)
            raise
        finally:
            values = {
                "ran_at": moment,
                "seconds": time.monotonic() - began,
                "problem": problem,
                "result": Jsonb(result),
            }
            with suppress(EduError):
                await self._postgres.fetch(_NOTE, values)
        return result

    async def _tend(self, result: dict[str, Any]) -> None:
        async with self._postgres.transaction() as connection:
            result["months_made"] = await ensure_ahead(connection, MONTHS_AHEAD)
            record_months_ahead.set(await months_ahead(connection, MONTHS_AHEAD))
        left = await self._loader.between(lambda term: retention.leave_record(term.connection, self._warehouse))
        result["removed"] = left or {}
        await asyncio.get_running_loop().run_in_executor(self._thread, self._in_office, result)
        if any(result["removed"].values()) or result["archive"]:
            self._loader.changed()

    def _in_office(self, result: dict[str, Any]) -> None:
        result["archive"] = []
        store = open_store(self._settings)
        try:
            with office(self._postgres.url) as connection:
                retention.leave_warehouse(connection, self._warehouse)
                if store is None:
                    return
                result["removed_from_files"] = retention.leave_files(connection, self._warehouse, store)
                for step in run(connection, self._warehouse, store, self._settings):
                    told = {"month": str(step.month), "what": step.what, "rows": step.rows, "problem": step.problem}
                    result["archive"].append(told)
                    log.info("archive", **told)
        except Busy:
            log.info("somebody works on the archive; housekeeping leaves it to him")

    def _is_due(self) -> bool:
        moment, month = self._last
        return time.monotonic() - moment >= EVERY_SECONDS or month != month_of(now())


async def read_housekeeping(postgres: Postgres, settings: Settings) -> dict[str, Any]:
    """How the record's months stand, when housekeeping last ran, what the archive holds; `alarm` says what is wrong."""
    async with postgres.transaction() as connection:
        ahead = await months_ahead(connection, MONTHS_AHEAD)
        last = await (await connection.execute(_LAST)).fetchone()
        archive = (await (await connection.execute(_ARCHIVE)).fetchall())[0]
    record_months_ahead.set(ahead)
    return {
        "months_ahead": ahead,
        "alarm": _alarm(ahead, last, archive),
        "last_run": last,
        "archive": {"place": settings.archive_url, **archive},
    }


def _alarm(ahead: int, last: dict[str, Any] | None, archive: dict[str, Any]) -> str | None:
    if ahead < 1:
        return "The next month has no partition: start a loader, and see its log."
    if last and last["problem"]:
        return f"Housekeeping failed: {last['problem']}"
    if archive["problems"]:
        return "Months wait for the archive: see `eduanalytics archive list`."
    return None
