"""The manifest: which rows a batch holds is written down before they are sent, so that a retry is the same batch.

prepare → (rows go to ClickHouse) → commit. Both are single statements fenced by the epoch of the elected loader;
the boundary moves only while nobody else has moved it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from core.errors import Conflict
from ingestion.courtesy import Courtesy
from ingestion.pipelines import Pipeline, window_parameters
from ingestion.windows import BEFORE_ALL, START, Key, Snapshot

Blocking: TypeAlias = psycopg.Connection[DictRow]
_PIECE = 250

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
_PREPARE_KEYED = """
with own as (
    select name from pipelines where name = %(pipeline)s and epoch = %(epoch)s
      and not exists (select from batches b where b.pipeline = %(pipeline)s and b.state = 'prepared') for update
), made as (
    insert into batches (pipeline, id, done, target, lo_xid, lo_seq, hi_xid, hi_seq, rows, fingerprint, state, keyed)
    select name, %(id)s, '1:1:', '1:1:', '0', 0, '0', 0, %(rows)s, %(fingerprint)s, 'prepared', true from own
    returning pipeline, id
)
insert into batch_keys (pipeline, batch, key) select pipeline, id, unnest(%(keys)s::uuid[]) from made returning batch
"""
_CLOSE = """
with own as (select name from pipelines where name = %(pipeline)s and epoch = %(epoch)s for update)
update batches set state = 'committed', committed_at = coalesce(committed_at, clock_timestamp()), attempt = attempt + 1
where pipeline = (select name from own) and id = %(id)s and state in ('prepared', 'committed') returning id
"""
_BROUGHT = """
update refused_rows r set brought_at = clock_timestamp() from batch_keys k
where r.pipeline = %(pipeline)s and k.pipeline = r.pipeline and k.batch = %(batch)s and r.key = k.key
  and not exists (select from refused_rows again where again.pipeline = r.pipeline and again.batch = k.batch
                  and again.key = r.key)
"""
_NEXT_ATTEMPT = """
with own as (select name from pipelines where name = %(pipeline)s and epoch = %(epoch)s for update)
update batches set attempt = attempt + 1 where pipeline = (select name from own) and id = %(id)s returning attempt
"""
_BATCHES = """
select id, done::text, target::text, array[lo_xid::text, lo_seq::text] as lo, array[hi_xid::text, hi_seq::text] as hi,
       rows, fingerprint, attempt, keyed,
       (select floor_seq from pipelines where name = pipeline) as floor,
       array(select key from refused_rows r where r.pipeline = batches.pipeline and r.batch = batches.id) as refused
from batches where pipeline = %(pipeline)s and {which}
"""


class Fence(Protocol):
    """A term of office: its connection to the record and the epoch of each pipeline."""

    connection: Blocking
    epochs: dict[str, int]


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
    floor: int = 0

    def after(self, batch: Batch) -> Progress:
        """The place once that batch has been committed."""
        return replace(self, key=batch.hi, last_batch=batch.id, open=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one insert: in the window between two snapshots, from `lo` to `hi`; or, `keyed`, the named ones.

    `attempt` is in the token of the next insert of a part of its rows; it grows once that part has arrived.
    `refused`: rows that lie in it and that ClickHouse does not take; `rows` and `fingerprint` are without them.
    """

    id: int
    done: Snapshot
    target: Snapshot
    lo: Key
    hi: Key
    rows: int
    fingerprint: int
    attempt: int = 1
    keyed: bool = False
    floor: int = 0
    refused: tuple[UUID, ...] = ()


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
                  (select greatest(max(id), settled_batch) from batches where pipeline = name) as last_batch, floor_seq
           from pipelines where name = %s""",
        (pipeline,),
    ).fetchall()[0]
    done, target = Snapshot.parse(row["done"]), Snapshot.parse(row["target"] or row["current"])
    key = Key(int(row["key_xid"]), row["key_seq"])
    place = (row["last_batch"], row["target"] is not None, row["floor_seq"])
    return Progress(pipeline, row["epoch"], done, target, key, *place)


def look(connection: Blocking, pipeline: Pipeline, progress: Progress, limit: int) -> Batch | None:
    """The next batch, not yet written down; None when the window holds no more rows."""
    parameters = window_parameters(progress.done, progress.target, progress.key, limit, progress.floor)
    bounds = connection.execute(pipeline.bounds_query(), parameters).fetchall()[0]
    if not bounds["rows"]:
        return None
    found = bounds["fingerprint"] & 0xFFFF_FFFF_FFFF_FFFF
    place = (progress.last_batch + 1, progress.done, progress.target)
    return Batch(*place, _key(bounds["lo"]), _key(bounds["hi"]), bounds["rows"], found, floor=progress.floor)


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


def prepare_keyed(term: Fence, pipeline: Pipeline, keys: Sequence[UUID]) -> Batch:
    """Write down a batch of rows that belong to no window any more."""
    number = read_progress(term.connection, pipeline.name).last_batch + 1
    batch = Batch(number, BEFORE_ALL, BEFORE_ALL, START, START, len(keys), fingerprint(keys), keyed=True)
    values = {"id": number, "rows": batch.rows, "fingerprint": batch.fingerprint, "keys": list(keys)}
    fenced(term, pipeline.name, _PREPARE_KEYED, **values)
    return batch


def commit(connection: Blocking, progress: Progress, batch: Batch, *, last: bool = False) -> None:
    """The batch is in ClickHouse: move the boundary past it, and past the window if this was its last batch."""
    place = _end(progress) if last else _place(progress, batch.hi)
    if connection.execute(_COMMIT, {**place, "id": batch.id}).fetchone() is None:
        raise Fenced(pipeline=progress.pipeline)


def close(term: Fence, pipeline: str, batch: Batch) -> None:
    """What a batch lacked has arrived: its next insert, if there ever is one, gets a token of its own."""
    with term.connection.transaction():
        fenced(term, pipeline, _CLOSE, id=batch.id)
        if batch.keyed:
            term.connection.execute(_BROUGHT, {"pipeline": pipeline, "batch": batch.id})


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
    return next(iter(_batches(connection, pipeline, "state = 'prepared'")), None)


def read_batch(connection: Blocking, pipeline: str, number: int) -> Batch:
    """One batch of the manifest."""
    return _batches(connection, pipeline, "id = %(id)s", id=number)[0]


def _batches(connection: Blocking, pipeline: str, which: str, **values: Any) -> list[Batch]:
    rows = connection.execute(_BATCHES.format(which=which), {"pipeline": pipeline, **values}).fetchall()
    return [
        Batch(
            row["id"],
            Snapshot.parse(row["done"]),
            Snapshot.parse(row["target"]),
            _key(row["lo"]),
            _key(row["hi"]),
            row["rows"],
            int(row["fingerprint"]),
            row["attempt"],
            row["keyed"],
            row["floor"],
            tuple(row["refused"]),
        )
        for row in rows
    ]


def next_attempt(term: Fence, pipeline: str, batch: Batch) -> Batch:
    """The batch with a new token for its next insert."""
    return replace(batch, attempt=fenced(term, pipeline, _NEXT_ATTEMPT, id=batch.id)["attempt"])


def read_rows(connection: Blocking, pipeline: Pipeline, batch: Batch, courtesy: Courtesy | None = None) -> list[bytes]:
    """The lines of a batch; raises `Damaged` when the record does not hold them any more."""
    lines = read_lines(connection, pipeline, batch, courtesy)
    if len(lines) != batch.rows:
        raise Damaged(
            f"Batch {batch.id} of {pipeline.name} holds {batch.rows} rows; the record gives {len(lines)}.",
            pipeline=pipeline.name,
            batch=batch.id,
        )
    return lines


def read_lines(connection: Blocking, pipeline: Pipeline, batch: Batch, courtesy: Courtesy | None = None) -> list[bytes]:
    """What the record gives for a batch, however many lines that are; now and then requests go first."""
    query, parameters = _keyed(connection, pipeline, batch) if batch.keyed else _between(pipeline, batch)
    with connection.cursor().copy(query, {**parameters, "batch": batch.id}) as rows:
        if courtesy is None:
            return [bytes(line) for line in rows]
        lines: list[bytes] = []
        for line in rows:
            lines.append(bytes(line))
            if len(lines) % _PIECE == 0:
                courtesy.give_way()
        return lines


def _between(pipeline: Pipeline, batch: Batch) -> tuple[str, dict[str, object]]:
    before, limit = Key(batch.lo.xid, batch.lo.seq - 1), batch.rows + len(batch.refused) + 1
    parameters = window_parameters(batch.done, batch.target, before, limit, batch.floor)
    bounds = {"hi_xid": str(batch.hi.xid), "hi_seq": batch.hi.seq, "refused": list(batch.refused)}
    return pipeline.copy_query(), {**parameters, **bounds}


def _keyed(connection: Blocking, pipeline: Pipeline, batch: Batch) -> tuple[str, dict[str, object]]:
    query = "select key from batch_keys where pipeline = %s and batch = %s and key <> all(%s::uuid[])"
    rows = connection.execute(query, (pipeline.name, batch.id, list(batch.refused))).fetchall()
    return pipeline.keyed_query(), {"keys": [row["key"] for row in rows]}


def fenced(term: Fence, pipeline: str, statement: str, **values: Any) -> DictRow:
    """One statement that only the elected loader's epoch lets through; its row."""
    row = term.connection.execute(
        statement, {"pipeline": pipeline, "epoch": term.epochs[pipeline], **values}
    ).fetchone()
    if row is None:
        raise Fenced(pipeline=pipeline)
    return row


def _place(progress: Progress, key: Key) -> dict[str, Any]:
    place = {"done": str(progress.done), "target": str(progress.target), "xid": str(key.xid), "seq": key.seq}
    return {"pipeline": progress.pipeline, "epoch": progress.epoch, **place}


def _end(progress: Progress) -> dict[str, Any]:
    return {**_place(progress, START), "done": str(progress.target), "target": None}


def _key(pair: list[str]) -> Key:
    return Key(int(pair[0]), int(pair[1]))
