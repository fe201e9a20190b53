"""What Prometheus is told of the way to ClickHouse: read when it asks, at most every few seconds."""

from __future__ import annotations

import asyncio
import time

from core.clock import now
from core.errors import EduError
from core.postgres import Postgres
from core.telemetry import (
    audit_age,
    audit_open,
    dead_letters,
    loader_failures,
    loader_leads,
    loader_prepared,
    loader_waiting,
    oldest_write,
    rows_refused_now,
    store_up,
)
from core.warehouse import Warehouse
from ingestion.status import Status, read_status

_KEPT_SECONDS = 5.0


class Gauges:
    """Sets the gauges from the status; `refresh` before they are read."""

    def __init__(self, postgres: Postgres, warehouse: Warehouse) -> None:
        self._postgres = postgres
        self._warehouse = warehouse
        self._read = -_KEPT_SECONDS
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Read anew what is older than some seconds; a store that is away is told, not raised."""
        async with self._lock:
            if time.monotonic() - self._read < _KEPT_SECONDS:
                return
            self._read = time.monotonic()
            try:
                _set(await read_status(self._postgres, self._warehouse))
            except EduError:
                store_up.labels("postgres").set(0)


def _set(status: Status) -> None:
    store_up.labels("postgres").set(1)
    store_up.labels("clickhouse").set(status.warehouse == "ok")
    loader_leads.set(status.loading)
    loader_waiting.set(status.waiting_changes)
    oldest_write.set(status.oldest_write_seconds)
    for pipeline in (*status.pipelines, *([status.dimensions] if status.dimensions else [])):
        loader_prepared.labels(pipeline.name).set(pipeline.prepared_batches)
        loader_failures.labels(pipeline.name).set(pipeline.failures)
        rows_refused_now.labels(pipeline.name).set(pipeline.refused_rows)
    for stage in ("accept", "load"):
        dead_letters.labels(stage).set(status.letters.get(stage, 0))
    for audit in status.audits:
        audit_age.labels(audit["kind"]).set((now() - audit["ended_at"]).total_seconds())
    audit_open.clear()
    for found in status.findings:
        audit_open.labels(found["pipeline"], found["kind"]).set(found["rows"])
