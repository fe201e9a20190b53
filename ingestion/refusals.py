"""Rows that ClickHouse refuses: found by halving the batch, set aside as dead letters; the rest of the batch goes on.

The halves are tried on an empty twin of the table, so the search never touches what is queried. A row is set aside
only when ClickHouse refuses it alone *and* takes another row of the same log; a table that takes nothing (missing,
full, read-only, of another shape) is no row's fault: then everything waits. The batch is reduced, its rows are noted
and the letters are written in one transaction, before anything is sent again.

    batch 7: rows 3, fingerprint a⊕b⊕c   →   batch 7: rows 2, fingerprint a⊕c;  refused b;  letter: b and the reason
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from core.errors import EduError, RefusedByStore
from core.telemetry import log, rows_refused
from core.warehouse import Warehouse
from ingestion.batches import Batch, Blocking, fenced, fingerprint
from ingestion.facts import INSERT, put
from ingestion.failpoints import failpoint
from ingestion.pipelines import Pipeline
from ingestion.term import Term

# What may be the fault of one row: values that cannot be parsed, converted or stored, a violated constraint.
_OF_A_ROW = frozenset(
    "6 25 26 27 32 33 38 41 53 69 70 72 117 128 130 131 306 321 349 376 407 440 467 469 646 675 676 691".split()  # noqa: SIM905
)
_CODE = re.compile(r"Code: (\d+)\.")
_WITNESSES = 20
_REDUCE = """
with own as (select name from pipelines where name = %(pipeline)s and epoch = %(epoch)s for update)
update batches set rows = %(rows)s, fingerprint = %(fingerprint)s
where pipeline = (select name from own) and id = %(id)s and rows = %(before)s returning id
"""
_LETTER = """
insert into dead_letters (school_id, stage, reason, payload)
select t.school_id, 'load', %(reason)s, jsonb_build_object('pipeline', %(pipeline)s::text, 'batch', %(batch)s::bigint,
       'key', %(key)s::uuid, 'row', to_jsonb(t) - 'xid' - 'seq')
from {table} t where t.{key} = %(key)s returning id
"""
_NOTE = """
insert into refused_rows (pipeline, key, batch, letter) values (%(pipeline)s, %(key)s, %(batch)s, %(letter)s)
"""


def sift(
    term: Term, pipeline: Pipeline, batch: Batch, lines: Sequence[bytes], error: RefusedByStore
) -> tuple[Batch, list[bytes]]:
    """The batch without the rows that ClickHouse refuses, and its lines; raises `error` when no row is at fault."""
    if code_of(error) not in _OF_A_ROW:
        raise error
    refused = _find(term, pipeline, lines, error)
    keys = {UUID(line[:36].decode()) for line in refused}
    failpoint("sifted")
    smaller = replace(
        batch,
        rows=batch.rows - len(refused),
        fingerprint=batch.fingerprint ^ fingerprint(keys),
        refused=(*batch.refused, *keys),
    )
    with term.connection.transaction():
        _set_aside(term, pipeline, smaller, refused, before=batch.rows)
    failpoint("reduced")
    rows_refused.labels(pipeline.name).inc(len(refused))
    log.error("ClickHouse refuses rows; they are dead letters now", pipeline=pipeline.name, rows=len(refused))
    return smaller, [line for line in lines if line not in refused]


def code_of(error: RefusedByStore) -> str:
    """ClickHouse's number of an error, empty when it gives none."""
    found = _CODE.search(error.message)
    return found[1] if found else ""


def _find(term: Term, pipeline: Pipeline, lines: Sequence[bytes], error: RefusedByStore) -> dict[bytes, str]:
    twin = f"{pipeline.name}_sift"
    term.warehouse.call(lambda client: client.command(f"DROP TABLE IF EXISTS {twin}"))
    term.warehouse.call(lambda client: client.command(f"CREATE TABLE {twin} AS {pipeline.name}"))
    try:
        first = lines[:_WITNESSES]
        none = len(list(_halve(term.warehouse, twin, pipeline, first))) == len(first)
        if none and not _takes_others(term, twin, pipeline, lines):
            raise error
        refused = dict(_halve(term.warehouse, twin, pipeline, lines))
        if not refused:
            raise error
        return refused
    finally:
        with suppress(EduError):
            term.warehouse.call(lambda client: client.command(f"DROP TABLE IF EXISTS {twin}"))


def _halve(warehouse: Warehouse, twin: str, pipeline: Pipeline, lines: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
    """Each refused line with ClickHouse's reason; an error that is no row's fault goes up."""
    try:
        put(warehouse, twin, pipeline.names, lines, INSERT)
    except RefusedByStore as error:
        if code_of(error) not in _OF_A_ROW:
            raise
        if len(lines) == 1:
            yield lines[0], error.message.splitlines()[0][:1000]
            return
        middle = len(lines) // 2
        yield from _halve(warehouse, twin, pipeline, lines[:middle])
        yield from _halve(warehouse, twin, pipeline, lines[middle:])


def _takes_others(term: Term, twin: str, pipeline: Pipeline, lines: Sequence[bytes]) -> bool:
    """Whether the table takes any of the newest rows that are not in the batch."""
    query = f"""select {pipeline.key} as key from {pipeline.name} t where {pipeline.key} <> all(%s::uuid[])
                and not exists (select from refused_rows r where r.pipeline = %s and r.key = t.{pipeline.key})
                order by xid desc, seq desc limit %s"""
    own = [line[:36].decode() for line in lines]
    newest = term.connection.execute(query, (own, pipeline.name, _WITNESSES)).fetchall()
    keys = {"keys": [row["key"] for row in newest], "batch": 0}
    with term.connection.cursor().copy(pipeline.keyed_query(), keys) as rows:
        others = [bytes(line) for line in rows]
    return len(list(_halve(term.warehouse, twin, pipeline, others))) < len(others) if others else False


def _set_aside(term: Term, pipeline: Pipeline, smaller: Batch, refused: dict[bytes, str], before: int) -> None:
    """Reduce the batch, write the letters and note the rows, in the caller's transaction."""
    values: dict[str, Any] = {"rows": smaller.rows, "fingerprint": smaller.fingerprint, "before": before}
    fenced(term, pipeline.name, _REDUCE, id=smaller.id, **values)
    letter = _LETTER.format(table=pipeline.name, key=pipeline.key)
    for line, reason in refused.items():
        place = {"pipeline": pipeline.name, "batch": smaller.id, "key": line[:36].decode()}
        row = term.connection.execute(letter, {**place, "reason": reason.replace("\0", "")}).fetchall()[0]
        term.connection.execute(_NOTE, {**place, "letter": row["id"]})


def retry_rows(connection: Blocking, letters: Sequence[int]) -> int:
    """Let the loader try the rows of these letters (stage `load`) once more; returns the number of its job.

    The letters stay; a row that is refused again gets a new one.
    """
    query = "insert into loader_jobs (kind, options) values ('retry', %s) returning id"
    return int(connection.execute(query, (Jsonb({"letters": list(letters)}),)).fetchall()[0]["id"])
