"""Facts to ClickHouse: prepare a batch, insert it as one block, commit it; until the window is empty."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from core.clock import now
from core.telemetry import rows_loaded
from core.warehouse import Warehouse
from ingestion.batches import Batch, Progress, commit, exhaust, look, prepare, read_progress, read_rows
from ingestion.courtesy import Courtesy
from ingestion.failpoints import failpoint
from ingestion.pipelines import Pipeline
from ingestion.term import Term

INSERT = {
    "async_insert": 0,
    "input_format_parallel_parsing": 0,
    "input_format_tsv_detect_header": 0,
    "max_partitions_per_insert_block": 0,
    "os_threads_nice_value_query": 10,  # who asks goes first
}
_FEW_ROWS = 5_000
_LATE = timedelta(seconds=10)
_TURN_SECONDS = 2.0


class _Ahead(NamedTuple):
    """A batch that is read and not yet written down; `last`: the window holds no more; `late`: it waited for long."""

    batch: Batch
    lines: list[bytes]
    last: bool
    late: bool


def load_facts(term: Term, pipeline: Pipeline) -> int:
    """Bring the rows of one window to ClickHouse; returns how many. While one batch is sent, the next is read.

    Where somebody asks while old rows wait, one thing is done at a time, in small pieces, and others get their turn."""
    progress, total = read_progress(term.connection, pipeline.name), 0
    turn_ends = time.monotonic() + _TURN_SECONDS
    ahead = _read_ahead(term, pipeline, progress)
    if ahead is None and progress.open:
        exhaust(term.connection, progress)
        failpoint("exhausted")
    while ahead and not term.stopping.is_set():
        batch, gently = ahead.batch, ahead.late and not ahead.last and term.courtesy.asked
        failpoint("looked")
        prepare(term.connection, progress, batch)
        failpoint("prepared")
        bring = _bring_gently if gently else _bring
        over = ahead.last or (gently and time.monotonic() > turn_ends)
        following = bring(term, pipeline, ahead, None if over else progress.after(batch))
        failpoint("inserted")
        commit(term.connection, progress, batch, last=ahead.last or not (following or over))
        failpoint("committed")
        progress, ahead = progress.after(batch), following
        if not pipeline.patience:
            term.batches += 1
        rows_loaded.labels(pipeline.name).inc(batch.rows)
        total += batch.rows
    return total


def _bring(term: Term, pipeline: Pipeline, ahead: _Ahead, after: Progress | None) -> _Ahead | None:
    """Send a batch, and read the one after that place meanwhile."""
    term.courtesy.end()
    sending = term.sender.submit(send, term.warehouse, pipeline, ahead.batch, ahead.lines)
    try:
        return None if after is None else _read_ahead(term, pipeline, after)
    finally:
        sending.result()


def _bring_gently(term: Term, pipeline: Pipeline, ahead: _Ahead, after: Progress | None) -> _Ahead | None:
    """Send a batch, then read the next; requests go before each piece of that."""
    term.courtesy.begin()
    term.sender.submit(send, term.warehouse, pipeline, ahead.batch, ahead.lines).result()
    term.courtesy.give_way()
    return None if after is None else _read_ahead(term, pipeline, after, term.courtesy)


def _read_ahead(term: Term, pipeline: Pipeline, progress: Progress, courtesy: Courtesy | None = None) -> _Ahead | None:
    limit = min(term.batch_rows, _FEW_ROWS) if term.courtesy.asked else term.batch_rows
    batch = look(term.connection, pipeline, progress, limit)
    if batch is None:
        return None
    if courtesy:
        courtesy.give_way()
    lines = read_rows(term.connection, pipeline, batch, courtesy)
    return _Ahead(batch, lines, batch.rows < limit, _waited(pipeline, lines[0]) > _LATE)


def _waited(pipeline: Pipeline, line: bytes) -> timedelta:
    """How long ago a row was received."""
    received = line.split(b"\t")[pipeline.names.index("received_at")].decode()
    return now() - datetime.fromisoformat(received).replace(tzinfo=UTC)


def send(
    warehouse: Warehouse, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes], token: str | None = None
) -> None:
    """One synchronous insert of one block. Token and query id are the batch's: the same data, never other data."""
    name = f"{pipeline.name}-{batch.id}"
    settings: dict[str, Any] = {
        **INSERT,
        "insert_deduplication_token": token or name,
        "query_id": f"{name}-{batch.attempt}",
        "max_insert_block_size": len(lines) + 1,
        "min_insert_block_size_rows": len(lines) + 1,
    }
    put(warehouse, pipeline.name, pipeline.names, lines, settings)


def put(
    warehouse: Warehouse, table: str, columns: Sequence[str], lines: Sequence[bytes], settings: dict[str, Any]
) -> None:
    """Insert lines of COPY text, which is ClickHouse's TabSeparated."""
    failpoint("inserting")

    def insert(client: Client) -> None:
        client.raw_insert(table, columns, b"".join(lines), settings=settings, fmt="TabSeparated")

    warehouse.call(insert)
    failpoint("sent")
