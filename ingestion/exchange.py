"""A table of facts gets another shape: `<table>_next` is filled from the record while the old one is read, then both
change names at once.

Make `<table>_next` with the new order, types or columns first (all columns of the old one; new ones with a default).
Rows that only ClickHouse has (archived months) are copied from the old table. It keeps the other name, to be dropped
by hand when nobody misses it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

from core.errors import BadInput
from ingestion.batches import Damaged, read_batch, read_lines, read_progress
from ingestion.differences import EVER, NEVER, is_settled
from ingestion.facts import INSERT, put
from ingestion.failpoints import failpoint
from ingestion.pipelines import Pipeline
from ingestion.recovery import FINGERPRINT
from ingestion.replay import read_record
from ingestion.term import Term

Steps: TypeAlias = Generator[dict[str, Any], None, dict[str, Any]]
_COMMITTED = "select id from batches where pipeline = %s and state = 'committed' and id > %s order by id"


def exchange(term: Term, pipeline: Pipeline) -> Steps:
    """Fill `<table>_next`, compare it, exchange it; yields the progress. Raises `BadInput` without such a table."""
    table, other, rows = pipeline.name, f"{pipeline.name}_next", 0
    _check(term, pipeline, other)
    while not is_settled(term, pipeline):
        yield {"table": table, "rows": rows}
    _command(term, f"TRUNCATE TABLE {other}")
    last = read_progress(term.connection, table).last_batch
    for lines in read_record(term, pipeline, EVER, NEVER):
        put(term.warehouse, other, pipeline.names, lines, INSERT)
        rows += len(lines)
        yield {"table": table, "rows": rows}
    names, key = ", ".join(pipeline.names), pipeline.key
    absent = f"{key} NOT IN (SELECT {key} FROM {other})"
    _command(term, f"INSERT INTO {other} ({names}) SELECT {names} FROM {table} WHERE batch <= {last} AND {absent}")
    yield {"table": table, "rows": rows}
    while not is_settled(term, pipeline):
        yield {"table": table, "rows": rows}
    rows += _follow(term, pipeline, other, last)
    _command(term, f"DELETE FROM {other} WHERE {key} NOT IN (SELECT {key} FROM {table})")
    _compare(term, pipeline, other)
    failpoint("exchanging")
    _command(term, f"EXCHANGE TABLES {table} AND {other}")
    failpoint("exchanged")
    term.batches += 1
    return {"table": table, "rows": rows, "old": other}


def _check(term: Term, pipeline: Pipeline, other: str) -> None:
    query = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
    found = term.warehouse.call(lambda client: client.query(query, parameters={"table": other})).result_rows
    lacking = [name for name in pipeline.names if name not in {row[0] for row in found}]
    if lacking:
        hint = f"CREATE TABLE {other} with the columns of {pipeline.name} first."
        raise BadInput(f"{other} has no column {', '.join(lacking)}.", hint=hint)


def _follow(term: Term, pipeline: Pipeline, other: str, after: int) -> int:
    """The batches that were loaded meanwhile; returns their rows."""
    rows = 0
    for row in term.connection.execute(_COMMITTED, (pipeline.name, after)).fetchall():
        lines = read_lines(term.connection, pipeline, read_batch(term.connection, pipeline.name, row["id"]))
        if lines:
            put(term.warehouse, other, pipeline.names, lines, INSERT)
        rows += len(lines)
    return rows


def _compare(term: Term, pipeline: Pipeline, other: str) -> None:
    sums = f"SELECT count(), {FINGERPRINT.format(key=pipeline.key)}, groupBitXor(batch) FROM "
    old, new = (_ask(term, sums + table) for table in (pipeline.name, other))
    if old != new:
        raise Damaged(
            f"{other} has {new[0]} rows, {pipeline.name} {old[0]}; nothing was exchanged.",
            hint="Run `eduanalytics pipeline audit --repair`, then exchange again.",
        )


def _ask(term: Term, query: str) -> Any:
    return term.warehouse.call(lambda client: client.query(query)).result_rows[0]


def _command(term: Term, command: str) -> None:
    settings = {"async_insert": 0, "max_partitions_per_insert_block": 0}
    term.warehouse.call(lambda client: client.command(command, settings=settings))
