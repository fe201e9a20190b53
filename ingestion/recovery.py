"""What to do with a batch whose insert was not confirmed.

Alive (a server, the connection was lost): an earlier attempt may still be running. The identical block is sent with
the identical token and query id until the server answers; 216 means «still running».
Dead (our process was started anew, or ClickHouse is in our process): no attempt can be running. What is there is read
back by batch id, exactly what is missing is inserted, and number and fingerprint are compared before the commit.
Refused: ClickHouse says that it cannot take a row; such rows are found, set aside with their reason, the rest goes on.
The token alone would not do (ClickHouse's log of tokens does not survive a crash), the read-back alone neither
(it does not see an insert that is still under way).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from core.errors import BadInput, RefusedByStore, Unavailable
from core.telemetry import log, rows_loaded
from core.warehouse import Warehouse
from ingestion.batches import Batch, Damaged, close, commit, next_attempt, prepared, read_progress, read_rows
from ingestion.facts import send
from ingestion.failpoints import failpoint
from ingestion.pipelines import Pipeline
from ingestion.refusals import sift
from ingestion.term import Term

FINGERPRINT = "groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum({key}), 9, 8))))"
_TRIES = 3


def recover(term: Term, pipeline: Pipeline) -> int:
    """Bring the unconfirmed batch to its end, if there is one; returns its number of rows."""
    batch = prepared(term.connection, pipeline.name)
    if batch is not None:
        log.info("recovering a batch", pipeline=pipeline.name, batch=batch.id, rows=batch.rows)
        batch = _bring(term, pipeline, batch)
        failpoint("recovered")
        if batch.keyed:
            close(term, pipeline.name, batch)
        else:
            commit(term.connection, read_progress(term.connection, pipeline.name), batch)
        term.batches += 0 if pipeline.patience else 1
        rows_loaded.labels(pipeline.name).inc(batch.rows)
    term.unsettled.discard(pipeline.name)
    return batch.rows if batch else 0


def _bring(term: Term, pipeline: Pipeline, batch: Batch) -> Batch:
    """The batch, in ClickHouse; without the rows that ClickHouse refuses."""
    lines = read_rows(term.connection, pipeline, batch)
    failpoint("recovering")
    first = batch.attempt == 1 and not batch.refused
    try:
        if first and not term.warehouse.embedded and pipeline.name not in term.unsettled:
            _repeat(term.warehouse, pipeline, batch, lines)
        else:
            complete(term, pipeline, batch, lines)
    except RefusedByStore as error:
        batch, lines = sift(term, pipeline, batch, lines, error)
        complete(term, pipeline, batch, lines)
    return batch


def _repeat(warehouse: Warehouse, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> None:
    try:
        send(warehouse, pipeline, batch, lines)
    except BadInput as error:
        raise still_running(error) or error from error


def still_running(error: BadInput) -> Unavailable | None:
    """Whether ClickHouse refuses a query because an earlier one of its name has not ended."""
    running = "Code: 216" in error.message
    return Unavailable("An earlier attempt is still running.") if running else None


def complete(term: Term, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> None:
    """Insert what ClickHouse lacks of a batch, and compare number and fingerprint; raises `Damaged`."""
    supply(term, pipeline, batch, lines)
    _verify(term.warehouse, pipeline, batch)


def supply(term: Term, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> None:
    """Insert what ClickHouse lacks of a batch.

    The token is the same for every loader that finds the same rows missing, so that one which wakes late doubles
    nothing. Where a token has let nothing in (its log outlived the rows), the next one is taken.
    """
    _stop_attempts(term.warehouse, pipeline, batch)
    for _ in range(_TRIES):
        missing = _missing(term.warehouse, pipeline, batch, lines)
        failpoint("read_back")
        if not missing:
            return
        whole = len(missing) == batch.rows and batch.attempt == 1 and not batch.refused
        token = None if whole else f"{pipeline.name}-{batch.id}-r{batch.attempt}"
        send(term.warehouse, pipeline, batch, missing, token)
        failpoint("completed")
        if _missing(term.warehouse, pipeline, batch, missing):
            batch = next_attempt(term, pipeline.name, batch)


def _missing(warehouse: Warehouse, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> list[bytes]:
    present = present_keys(warehouse, pipeline, batch.id)
    return [line for line in lines if key_of(line) not in present]


def key_of(line: bytes) -> UUID:
    """The id of a row: the first field of its line."""
    return UUID(line[:36].decode())


def _stop_attempts(warehouse: Warehouse, pipeline: Pipeline, batch: Batch) -> None:
    if not warehouse.embedded:
        prefix = f"{pipeline.name}-{batch.id}-"
        kill = "KILL QUERY WHERE startsWith(query_id, {prefix:String}) SYNC"
        warehouse.call(lambda client: client.command(kill, parameters={"prefix": prefix}))


def present_keys(warehouse: Warehouse, pipeline: Pipeline, number: int) -> dict[UUID, int]:
    """The ids that ClickHouse has of a batch, each with how often."""
    query = (
        f"SELECT {pipeline.key}, count() FROM {pipeline.name} WHERE batch = {{batch:UInt64}} GROUP BY {pipeline.key}"
    )
    result = warehouse.call(lambda client: client.query(query, parameters={"batch": number}))
    return {row[0]: row[1] for row in result.result_rows}


def _verify(warehouse: Warehouse, pipeline: Pipeline, batch: Batch) -> None:
    found = FINGERPRINT.format(key=pipeline.key)
    query = f"SELECT count(), {found} FROM {pipeline.name} WHERE batch = {{batch:UInt64}}"
    rows, value = warehouse.call(lambda client: client.query(query, parameters={"batch": batch.id})).result_rows[0]
    if (rows, value) != (batch.rows, batch.fingerprint):
        raise Damaged(
            f"Batch {batch.id} of {pipeline.name}: {batch.rows} rows were prepared, ClickHouse has {rows}.",
            hint="Run `eduanalytics pipeline audit`; with --remove it also takes away what is too much.",
            pipeline=pipeline.name,
            batch=batch.id,
        )
