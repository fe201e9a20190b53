"""What to do with a batch whose insert was not confirmed.

Alive (a server, the connection was lost): an earlier attempt may still be running. The identical block is sent with
the identical token and query id until the server answers; 216 means «still running».
Dead (our process was started anew, or ClickHouse is in our process): no attempt can be running. What is there is read
back by batch id, exactly what is missing is inserted, and number and fingerprint are compared before the commit.
The token alone would not do (ClickHouse's log of tokens does not survive a crash), the read-back alone neither
(it does not see an insert that is still under way).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import BadInput, Unavailable
from core.telemetry import log, rows_loaded
from core.warehouse import Warehouse
from ingestion.batches import Batch, Damaged, commit, next_attempt, prepared, read_progress, read_rows
from ingestion.facts import send
from ingestion.failpoints import failpoint
from ingestion.pipelines import Pipeline
from ingestion.term import Term

FINGERPRINT = "groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum({key}), 9, 8))))"


def recover(term: Term, pipeline: Pipeline) -> int:
    """Bring the unconfirmed batch to its end, if there is one; returns its number of rows."""
    batch = prepared(term.connection, pipeline.name)
    if batch is None:
        return 0
    log.info("recovering a batch", pipeline=pipeline.name, batch=batch.id, rows=batch.rows)
    lines = read_rows(term.connection, pipeline, batch)
    failpoint("recovering")
    if term.warehouse.embedded or term.fresh:
        _complete(term, pipeline, batch, lines)
    else:
        _repeat(term.warehouse, pipeline, batch, lines)
    failpoint("recovered")
    commit(term.connection, read_progress(term.connection, pipeline.name), batch)
    if not pipeline.patience:
        term.batches += 1
    rows_loaded.labels(pipeline.name).inc(batch.rows)
    return batch.rows


def _repeat(warehouse: Warehouse, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> None:
    try:
        send(warehouse, pipeline, batch, lines)
    except BadInput as error:
        if "Code: 216" in error.message:
            raise Unavailable("An earlier attempt is still running.") from error
        raise


def _complete(term: Term, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes]) -> None:
    _stop_attempts(term.warehouse, pipeline, batch)
    present = _present(term.warehouse, pipeline, batch)
    if not present and not term.warehouse.embedded:
        # A request that the server has accepted but not begun cannot be killed; the first token still stops it.
        send(term.warehouse, pipeline, batch, lines)
        present = _present(term.warehouse, pipeline, batch)
    failpoint("read_back")
    missing = [line for line in lines if line[:36].decode() not in present]
    if missing:
        attempt = next_attempt(term.connection, pipeline.name, batch)
        token = f"{pipeline.name}-{batch.id}-r{attempt}"
        send(term.warehouse, pipeline, replace(batch, attempt=attempt), missing, token)
    failpoint("completed")
    _verify(term.warehouse, pipeline, batch)


def _stop_attempts(warehouse: Warehouse, pipeline: Pipeline, batch: Batch) -> None:
    if not warehouse.embedded:
        prefix = f"{pipeline.name}-{batch.id}-"
        kill = "KILL QUERY WHERE startsWith(query_id, {prefix:String}) SYNC"
        warehouse.call(lambda client: client.command(kill, parameters={"prefix": prefix}))


def _present(warehouse: Warehouse, pipeline: Pipeline, batch: Batch) -> set[str]:
    query = f"SELECT toString({pipeline.key}) FROM {pipeline.name} WHERE batch = {{batch:UInt64}}"
    result = warehouse.call(lambda client: client.query(query, parameters={"batch": batch.id}))
    return {row[0] for row in result.result_rows}


def _verify(warehouse: Warehouse, pipeline: Pipeline, batch: Batch) -> None:
    found = FINGERPRINT.format(key=pipeline.key)
    query = f"SELECT count(), {found} FROM {pipeline.name} WHERE batch = {{batch:UInt64}}"
    rows, value = warehouse.call(lambda client: client.query(query, parameters={"batch": batch.id})).result_rows[0]
    if (rows, value) != (batch.rows, batch.fingerprint):
        raise Damaged(
            f"Batch {batch.id} of {pipeline.name}: {batch.rows} rows were prepared, ClickHouse has {rows}.",
            pipeline=pipeline.name,
            batch=batch.id,
        )
