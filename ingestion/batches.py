"""The manifest: which rows a batch holds is written down before they are sent, so that a retry is the same batch.

prepare → (rows go to ClickHouse) → commit. Both are single statements fenced by the epoch of the elected loader;
the boundary moves only while nobody else has moved it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from core.errors import Conflict
from ingestion.pipelines import Pipeline, window_parameters
from ingestion.windows import START, Key, Snapshot

Blocking: TypeAlias = psycopg.Connection[DictRow]

_PREPARE = """
with moved as (
    update pipelines set target = %(target)s::text::pg_snapshot
    where name = %(pipeline)s and epoch = %(epoch)s and done::text = %(done)s
      and key_xid = %(xid)s::text::xid8 and key_seq = %(seq)s
      and not exists (select from batches b where b.pipeline = %(pipeline)s and b.state = 'prepared')
    returning name
)
insert into batches (pipeline, id, done, target, lo_xid, lo_seq, hi_xid, hi_seq, rows, fingerprint, state)
select name, %(id)s, %(done)s::text::pg_snapshot, %(target)s::text::pg_snapshot, %(lo_xid)s::text::xid8, %(lo_seq)s,
       %(hi_xid)s::text::xid8, %(hi_seq)s, %(rows)s, %(fingerprint)s, 'prepared'
from moved returning id
"""
_MOVE = """
update pipelines set done = %(done)s::text::pg_snapshot, target = %(target)s::text::pg_snapshot,
       key_xid = %(xid)s::text::xid8, key_seq = %(seq)s
where name = %(pipeline)s and epoch = %(epoch)s returning name
"""
_COMMIT = f"""
with moved as ({_MOVE})
update batches set state = 'committed', committed_at = clock_timestamp()
where pipeline = (select name from moved) and id = %(id)s and state = 'prepared' returning id
"""


class Fenced(Conflict):
    """Another loader has taken over; this one must stop."""

    code = "fenced"


class Damaged(Conflict):
    """A batch does not hold what the manifest says; nothing more is loaded until somebody has looked."""

    code = "damaged_batch"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pipeline is: all of `done`, and of the window up to `target` (or now) the rows up to `key`."""

    pipeline: str
    epoch: int
    done: Snapshot
    target: Snapshot
    key: Key
    last_batch: int
    open: bool

    def after(self, batch: Batch) -> Progress:
        """The place once that batch has been committed."""
        return replace(self, key=batch.hi, last_batch=batch.id, open=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one insert: in the window between two snapshots, from `lo` to `hi`."""

    id: int
    done: Snapshot
    target: Snapshot
    lo: Key
    hi: Key
    rows: int
    fingerprint: int
    attempt: int = 1


def fingerprint(ids: Iterable[UUID]) -> int:
    """The xor of the low eight bytes of the ids; ClickHouse computes the same (`recovery.FINGERPRINT`)."""
    total = 0
    for identifier in ids:
        total ^= identifier.int & 0xFFFF_FFFF_FFFF_FFFF
    return total


def read_progress(connection: Blocking, pipeline: str) -> Progress:
    """The pipeline's place; where no window is open, its target is this moment's snapshot."""
    row = connection.execute(
        """select epoch, done::text, target::text, pg_current_snapshot()::text as current, key_xid::text, key_seq,
                  (select coalesce(max(id), 0) from batches where pipeline = name) as last_batch
           from pipelines where name = %s""",
        (pipeline,),
    ).fetchall()[0]
    target = Snapshot.parse(row["target"] or row["current"])
    key = Key(int(row["key_xid"]), row["key_seq"])
    return Progress(
        pipeline, row["epoch"], Snapshot.parse(row["done"]), target, key, row["last_batch"], row["target"] is not None
    )


def look(connection: Blocking, pipeline: Pipeline, progress: Progress, limit: int) -> Batch | None:
    """The next batch, not yet written down; None when the window holds no more rows."""
    parameters = window_parameters(progress.done, progress.target, progress.key, limit)
    bounds = connection.execute(pipeline.bounds_query(), parameters).fetchall()[0]
    if not bounds["rows"]:
        return None
    found = bounds["fingerprint"] & 0xFFFF_FFFF_FFFF_FFFF
    place = (progress.last_batch + 1, progress.done, progress.target)
    return Batch(*place, _key(bounds["lo"]), _key(bounds["hi"]), bounds["rows"], found)


def prepare(connection: Blocking, progress: Progress, batch: Batch) -> None:
    """Write the batch down; from now on it is these rows and no others."""
    bounds = {
        "id": batch.id,
        "lo_xid": str(batch.lo.xid),
        "lo_seq": batch.lo.seq,
        "hi_xid": str(batch.hi.xid),
        "hi_seq": batch.hi.seq,
        "rows": batch.rows,
        "fingerprint": batch.fingerprint,
    }
    if connection.execute(_PREPARE, {**_place(progress, progress.key), **bounds}).fetchone() is None:
        raise Fenced(pipeline=progress.pipeline)


def commit(connection: Blocking, progress: Progress, batch: Batch, *, last: bool = False) -> None:
    """The batch is in ClickHouse: move the boundary past it, and past the window if this was its last batch."""
    place = _end(progress) if last else _place(progress, batch.hi)
    if connection.execute(_COMMIT, {**place, "id": batch.id}).fetchone() is None:
        raise Fenced(pipeline=progress.pipeline)


def exhaust(connection: Blocking, progress: Progress) -> None:
    """The window holds no more rows: the next one begins at its end."""
    if connection.execute(_MOVE, _end(progress)).fetchone() is None:
        raise Fenced(pipeline=progress.pipeline)


def advance(connection: Blocking, progress: Progress, key: Key) -> None:
    """Move the boundary without a batch (for rows that may safely be sent twice)."""
    if connection.execute(_MOVE, _place(progress, key)).fetchone() is None:
        raise Fenced(pipeline=progress.pipeline)


def prepared(connection: Blocking, pipeline: str) -> Batch | None:
    """The batch whose insert has not been confirmed, if there is one."""
    row = connection.execute(
        """select id, done::text, target::text, array[lo_xid::text, lo_seq::text] as lo,
                  array[hi_xid::text, hi_seq::text] as hi, rows, fingerprint, attempt
           from batches where pipeline = %s and state = 'prepared'""",
        (pipeline,),
    ).fetchone()
    if row is None:
        return None
    return Batch(
        row["id"],
        Snapshot.parse(row["done"]),
        Snapshot.parse(row["target"]),
        _key(row["lo"]),
        _key(row["hi"]),
        row["rows"],
        int(row["fingerprint"]),
        row["attempt"],
    )


def next_attempt(connection: Blocking, pipeline: str, batch: Batch) -> int:
    """Count one more attempt at a batch."""
    rows = connection.execute(
        "update batches set attempt = attempt + 1 where pipeline = %s and id = %s returning attempt",
        (pipeline, batch.id),
    ).fetchall()
    return int(rows[0]["attempt"])


def read_rows(connection: Blocking, pipeline: Pipeline, batch: Batch) -> list[bytes]:
    """The lines of a batch; raises `Damaged` when the record does not hold them any more."""
    before = Key(batch.lo.xid, batch.lo.seq - 1)
    parameters = window_parameters(batch.done, batch.target, before, batch.rows + 1)
    bounds = {"hi_xid": str(batch.hi.xid), "hi_seq": batch.hi.seq, "batch": batch.id}
    with connection.cursor().copy(pipeline.copy_query(), {**parameters, **bounds}) as rows:
        lines = [bytes(line) for line in rows]
    if len(lines) != batch.rows:
        raise Damaged(
            f"Batch {batch.id} of {pipeline.name} holds {batch.rows} rows; the record gives {len(lines)}.",
            pipeline=pipeline.name,
            batch=batch.id,
        )
    return lines


def _place(progress: Progress, key: Key) -> dict[str, Any]:
    place = {"done": str(progress.done), "target": str(progress.target), "xid": str(key.xid), "seq": key.seq}
    return {"pipeline": progress.pipeline, "epoch": progress.epoch, **place}


def _end(progress: Progress) -> dict[str, Any]:
    return {**_place(progress, START), "done": str(progress.target), "target": None}


def _key(pair: list[str]) -> Key:
    return Key(int(pair[0]), int(pair[1]))
