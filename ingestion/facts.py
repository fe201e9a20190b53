"""Facts to ClickHouse: prepare a batch, insert it as one block, commit it; until the window is empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from core.telemetry import rows_loaded
from core.warehouse import Warehouse
from ingestion.batches import Batch, Progress, commit, exhaust, look, prepare, read_progress, read_rows
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


def load_facts(term: Term, pipeline: Pipeline) -> int:
    """Bring all rows of one window to ClickHouse; returns how many. While one batch is sent, the next is read."""
    progress, total = read_progress(term.connection, pipeline.name), 0
    ahead = _read_ahead(term, pipeline, progress)
    if ahead is None and progress.open:
        exhaust(term.connection, progress)
        failpoint("exhausted")
    while ahead and not term.stopping.is_set():
        batch, lines = ahead
        last = batch.rows < term.batch_rows
        failpoint("looked")
        prepare(term.connection, progress, batch)
        failpoint("prepared")
        sending = term.sender.submit(send, term.warehouse, pipeline, batch, lines)
        try:
            ahead = None if last else _read_ahead(term, pipeline, progress.after(batch))
        finally:
            sending.result()
        failpoint("inserted")
        commit(term.connection, progress, batch, last=last or ahead is None)
        failpoint("committed")
        progress = progress.after(batch)
        if not pipeline.patience:
            term.batches += 1
        rows_loaded.labels(pipeline.name).inc(batch.rows)
        total += batch.rows
    return total


def _read_ahead(term: Term, pipeline: Pipeline, progress: Progress) -> tuple[Batch, list[bytes]] | None:
    batch = look(term.connection, pipeline, progress, term.batch_rows)
    return (batch, read_rows(term.connection, pipeline, batch)) if batch else None


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
