"""The record was restored, or a standby took its place: it and ClickHouse are compared, and numbers start anew.

    1 what the record has now counts as seen (writers wait a moment); the manifest of before is settled, and batch
      numbers go on above all that ClickHouse has                                                    — at once
    2 the facts are compared by hours; what ClickHouse lacks is sent in batches of its own            — in pieces
    3 what only ClickHouse has is told, and taken away on command
    4 the dimensions are copied into twins and exchanged: versions may have run backwards, too

Row numbers (`seq`) keep old rows apart from new ones where transaction numbers began again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from core.telemetry import log
from ingestion.batches import fenced, prepare_keyed
from ingestion.differences import Differences, differences, is_settled
from ingestion.dimensions import ENTITIES, copy_all
from ingestion.failpoints import failpoint
from ingestion.origin import CLUSTER, TIMELINE
from ingestion.pipelines import DIMENSIONS, FACTS, Pipeline
from ingestion.recovery import recover
from ingestion.removal import delete
from ingestion.term import Term

Steps: TypeAlias = Generator[dict[str, Any], None, dict[str, Any]]
_SEQUENCE = "pg_get_serial_sequence('{table}', 'seq')"
_SETTLE = f"""
update pipelines set done = pg_current_snapshot(), target = null, key_xid = '0', key_seq = 0, cluster = {CLUSTER},
       timeline = {TIMELINE}, floor_seq = %(floor)s, settled_batch = %(last)s,
       settled_rows = %(rows)s
where name = %(pipeline)s and epoch = %(epoch)s returning name
"""
_DISCARD = "update batches set state = 'discarded' where pipeline = %s and state = 'prepared'"
_FORGET = "delete from batches where pipeline = %s and id <= %s"
_LAST = "select greatest(max(id), (select settled_batch from pipelines where name = %(name)s), 0) as last from batches"
_FINDINGS = """
insert into audit_findings (pipeline, batch, kind, rows, sample) values (%s, 0, %s, %s, %s)
on conflict (pipeline, batch, kind) do update set rows = excluded.rows, sample = excluded.sample, settled_at = null
"""
_OLD_FINDINGS = "update audit_findings set settled_at = clock_timestamp() where pipeline = %s and settled_at is null"


def rebase(term: Term, *, remove: bool = False) -> Steps:
    """Make this record the one that ClickHouse is filled from; yields the progress.

    `remove`: take away what only ClickHouse has (facts that were lost with the old record).
    """
    total = {"missing": 0, "sent": 0, "extra": 0, "duplicate": 0, "removed": 0, "archived": 0}
    if term.fresh:
        _start_anew(term)
        failpoint("rebased")
        term.fresh = False
    yield dict(total)
    for pipeline in FACTS:
        while not is_settled(term, pipeline):
            yield dict(total)
        found = differences(term, pipeline, pipeline.name)
        total["missing"] += len(found.missing)
        total["extra"] += len(found.extra)
        total["duplicate"] += len(found.duplicate)
        total["archived"] += found.archived
        if remove and (found.extra or found.duplicate):
            delete(term.warehouse, pipeline, pipeline.name, [*found.extra, *found.duplicate])
            total["removed"] += len(found.extra) + len(found.duplicate)
            found = Differences(sorted({*found.missing, *found.duplicate}))
        _tell(term, pipeline, found)
        for keys in _pieces(found.missing, term.batch_rows):
            prepare_keyed(term, pipeline, keys)
            total["sent"] += recover(term, pipeline)
            yield dict(total)
    for entity in ENTITIES:
        copy_all(term, entity)
        yield {**total, "dimension": entity}
    term.batches += 1
    return total


def _start_anew(term: Term) -> None:
    floors = {pipeline.name: _highest(term, pipeline) for pipeline in FACTS}
    there = {pipeline.name: _there(term, pipeline) for pipeline in FACTS}
    with term.connection.transaction():
        for pipeline in FACTS:
            name = pipeline.name
            term.connection.execute(f"lock table {name} in share mode")
            floor = max(floors[name], _sequence(term, name))
            term.connection.execute(f"select setval({_SEQUENCE.format(table=name)}, %s)", (max(floor, 1),))
            last, rows = max(_last(term, name), there[name][0]), there[name][1]
            term.connection.execute(_DISCARD, (name,))
            fenced(term, name, _SETTLE, floor=floor, last=last, rows=rows)
            term.connection.execute(_FORGET, (name, last))
            term.connection.execute("delete from batch_keys where pipeline = %s", (name,))
            term.connection.execute(_OLD_FINDINGS, (name,))
        fenced(term, DIMENSIONS, _SETTLE, floor=0, last=0, rows=0)
    log.warning("the record was rebased")


def _highest(term: Term, pipeline: Pipeline) -> int:
    query = f"select coalesce(max(seq), 0) as seq from {pipeline.name}"
    return int(term.connection.execute(query).fetchall()[0]["seq"])


def _sequence(term: Term, table: str) -> int:
    query = f"select coalesce(pg_sequence_last_value({_SEQUENCE.format(table=table)}), 0) as seq"
    return int(term.connection.execute(query).fetchall()[0]["seq"])


def _last(term: Term, name: str) -> int:
    query = _LAST + " where pipeline = %(name)s"
    return int(term.connection.execute(query, {"name": name}).fetchall()[0]["last"])


def _there(term: Term, pipeline: Pipeline) -> tuple[int, int]:
    """The highest batch number in ClickHouse, and its rows."""
    found = term.warehouse.call(lambda client: client.query(f"SELECT max(batch), count() FROM {pipeline.name}"))
    return int(found.result_rows[0][0]), int(found.result_rows[0][1])


def _tell(term: Term, pipeline: Pipeline, found: Differences) -> None:
    for kind, keys in (("extra", found.extra), ("duplicate", found.duplicate)):
        if keys:
            term.connection.execute(_FINDINGS, (pipeline.name, kind, len(keys), list(keys[:10])))


def _pieces(keys: Sequence[UUID], size: int) -> list[Sequence[UUID]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
