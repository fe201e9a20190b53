"""Is ClickHouse what the manifest says? Number and fingerprint of each batch are compared; what is missing is sent.

    manifest 7: 3 rows, a⊕b⊕c     ClickHouse 7: 2 rows, a⊕c   →  b is sent again, with a new token
    manifest 8: 1 row, d          ClickHouse 8: d, d          →  «duplicate», told; taken away on command
    manifest …8                   ClickHouse 9                →  «unknown», told

By the clock: each minute what was loaded within the hour, each day what was loaded within `audit_days`. Only the
elected loader audits, between batches, so nothing moves meanwhile. Nothing is taken away without a command.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.clock import now
from core.errors import RefusedByStore
from core.settings import Settings
from core.telemetry import audit_repaired, log
from core.warehouse import Warehouse
from ingestion.batches import Batch, close, fingerprint, read_batch, read_lines
from ingestion.failpoints import failpoint
from ingestion.origin import batch_above
from ingestion.pipelines import FACTS, Pipeline
from ingestion.recovery import FINGERPRINT, key_of, present_keys, supply
from ingestion.refusals import sift
from ingestion.removal import delete
from ingestion.term import Term

_MINUTE, _HOUR, _DAY = 60.0, timedelta(hours=1), timedelta(days=1)
_PIECE = 5_000
_SAMPLE = 10
_MANIFEST = """
select id, rows, fingerprint from batches
where pipeline = %(pipeline)s and state = 'committed' and id > %(after)s
  and id > (select settled_batch from pipelines where name = %(pipeline)s)
  and committed_at >= %(since)s and committed_at < %(until)s
order by id limit %(limit)s
"""
_FIND = """
insert into audit_findings (pipeline, batch, kind, rows, sample) values (%s, %s, %s, %s, %s)
on conflict (pipeline, batch, kind) do update set rows = excluded.rows, sample = excluded.sample, settled_at = null
"""
_SETTLE = """
update audit_findings set settled_at = clock_timestamp()
where pipeline = %s and batch = %s and kind <> all(%s) and settled_at is null
"""
_NONE_ABOVE = """
update audit_findings set settled_at = clock_timestamp()
where pipeline = %s and kind = 'unknown' and settled_at is null
"""
_RAN = """
insert into audits (kind, started_at, ended_at, batches, different, repaired, ever)
values (%(kind)s, %(started_at)s, clock_timestamp(), %(batches)s, %(different)s, %(repaired)s, %(repaired)s)
on conflict (kind) do update set started_at = excluded.started_at, ended_at = excluded.ended_at,
    batches = excluded.batches, different = excluded.different, repaired = excluded.repaired,
    ever = audits.ever + excluded.repaired
"""


@dataclass(slots=True)
class Tally:
    """What an audit has seen so far, in batches and rows; `left`: what only a command takes away or a person mends."""

    batches: int = 0
    different: int = 0
    missing: int = 0
    repaired: int = 0
    left: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """How ClickHouse differs from the record in one batch."""

    batch: Batch
    lines: list[bytes] = field(repr=False)
    missing: Sequence[UUID] = ()
    extra: Sequence[UUID] = ()
    duplicate: Sequence[UUID] = ()
    unreadable: int = 0


def audit_by_the_clock(term: Term, settings: Settings) -> None:
    """What is due: an audit of the last hour each minute, one of the last days each day (a piece in each pass)."""
    moment = time.monotonic()
    if moment - term.looked.setdefault("audit", moment) >= _MINUTE:
        term.looked["audit"] = moment
        _run(term, "hour", audit(term, since=now() - _HOUR))
    if term.daily is None and moment - term.looked.get("days", -_MINUTE) >= _MINUTE:
        term.looked["days"] = moment
        row = term.connection.execute("select max(ended_at) as at from audits where kind = 'days'").fetchall()[0]
        if row["at"] is None or now() - row["at"] >= _DAY:
            term.daily = audit(term, since=now() - timedelta(days=settings.audit_days))
    elif term.daily is not None and not _advance(term, "days", term.daily):
        term.daily = None


def _run(term: Term, kind: str, steps: Iterator[Tally]) -> None:
    while _advance(term, kind, steps):
        pass


def _advance(term: Term, kind: str, steps: Iterator[Tally]) -> bool:
    """One piece; at the end its outcome is written down."""
    tally = next(steps, None)
    if tally is not None:
        term.tallies[kind] = tally
        return True
    tally = term.tallies.pop(kind, Tally())
    term.connection.execute(_RAN, {"kind": kind, "started_at": now(), **asdict(tally)})
    return False


def audit(
    term: Term,
    *,
    since: datetime,
    until: datetime | None = None,
    repair: bool = True,
    remove: bool = False,
    tables: Sequence[str] | None = None,
) -> Iterator[Tally]:
    """Compare the batches committed in [since, until), a piece at a time; each piece gives the tally so far."""
    tally = Tally()
    for pipeline in FACTS:
        if tables and pipeline.name not in tables:
            continue
        _look_above(term, pipeline, tally)
        after, parameters = 0, {"pipeline": pipeline.name, "since": since, "until": until or now() + _DAY}
        while rows := _manifest(term, {**parameters, "after": after, "limit": _PIECE}):
            after = max(rows)
            for number in _different(term.warehouse, pipeline, rows):
                _settle(term, pipeline, number, tally, repair=repair, remove=remove)
            tally.batches += len(rows)
            yield tally
    yield tally


def _manifest(term: Term, parameters: dict[str, Any]) -> dict[int, tuple[int, int]]:
    rows = term.connection.execute(_MANIFEST, parameters).fetchall()
    return {row["id"]: (row["rows"], int(row["fingerprint"])) for row in rows}


def _different(warehouse: Warehouse, pipeline: Pipeline, rows: dict[int, tuple[int, int]]) -> list[int]:
    query = f"""SELECT batch, count(), {FINGERPRINT.format(key=pipeline.key)} FROM {pipeline.name}
                WHERE batch BETWEEN {{low:UInt64}} AND {{high:UInt64}} GROUP BY batch"""
    bounds = {"low": min(rows), "high": max(rows)}
    found = warehouse.call(lambda client: client.query(query, parameters=bounds)).result_rows
    there = {batch: (count, value) for batch, count, value in found}
    return [number for number, expected in rows.items() if there.get(number, (0, 0)) != expected]


def _look_above(term: Term, pipeline: Pipeline, tally: Tally) -> None:
    """Batches in ClickHouse that are newer than the manifest: told, never touched here (`rebase` does)."""
    query = (
        "select greatest(max(id), (select settled_batch from pipelines where name = %(name)s), 0) as last from batches"
    )
    last = term.connection.execute(query + " where pipeline = %(name)s", {"name": pipeline.name}).fetchall()[0]["last"]
    if number := batch_above(term.warehouse, pipeline, last):
        term.connection.execute(_FIND, (pipeline.name, number, "unknown", 1, []))
        tally.different += 1
        tally.left += 1
    else:
        term.connection.execute(_NONE_ABOVE, (pipeline.name,))


def compare(term: Term, pipeline: Pipeline, batch: Batch) -> Difference:
    """The rows in which ClickHouse differs from the record, in one batch."""
    lines = read_lines(term.connection, pipeline, batch)
    keys = [key_of(line) for line in lines]
    there = present_keys(term.warehouse, pipeline, batch.id)
    if len(keys) != batch.rows or fingerprint(keys) != batch.fingerprint:
        # The record itself is not what the manifest says (rows were archived, or lost): no ground to take rows away.
        return Difference(batch, lines, unreadable=abs(batch.rows - len(keys)) or 1)
    known = set(keys)
    return Difference(
        batch,
        lines,
        missing=[key for key in keys if key not in there],
        extra=[key for key in there if key not in known],
        duplicate=[key for key, count in there.items() if count > 1 and key in known],
    )


def _settle(term: Term, pipeline: Pipeline, number: int, tally: Tally, *, repair: bool, remove: bool) -> None:
    found = compare(term, pipeline, read_batch(term.connection, pipeline.name, number))
    tally.different += 1
    tally.missing += len(found.missing)
    log.error(
        "ClickHouse differs from the record",
        pipeline=pipeline.name,
        batch=number,
        missing=len(found.missing),
        extra=len(found.extra),
        duplicate=len(found.duplicate),
    )
    if remove and (found.extra or found.duplicate):
        delete(term.warehouse, pipeline, pipeline.name, [*found.extra, *found.duplicate], f"batch = {number}")
        failpoint("removed")
        tally.removed += len(found.extra) + len(found.duplicate)
        found = compare(term, pipeline, found.batch)
    if repair and found.missing:
        missing = len(found.missing)
        found = send_missing(term, pipeline, found)
        tally.repaired += missing - len(found.missing)
        audit_repaired.labels(pipeline.name).inc(missing - len(found.missing))
    tally.left += _tell(term, pipeline, found)


def send_missing(term: Term, pipeline: Pipeline, found: Difference) -> Difference:
    """Send again exactly what ClickHouse lacks of a batch; returns what is different then."""
    try:
        supply(term, pipeline, found.batch, found.lines)
    except RefusedByStore as error:
        batch, lines = sift(term, pipeline, found.batch, found.lines, error)
        supply(term, pipeline, batch, lines)
    failpoint("repaired")
    close(term, pipeline.name, found.batch)
    return compare(term, pipeline, read_batch(term.connection, pipeline.name, found.batch.id))


def _tell(term: Term, pipeline: Pipeline, found: Difference) -> int:
    """Write down what is left of a difference, and that the rest is settled; returns its rows."""
    kinds = {"missing": found.missing, "extra": found.extra, "duplicate": found.duplicate}
    left = {kind: (len(keys), list(keys[:_SAMPLE])) for kind, keys in kinds.items() if keys}
    if found.unreadable:
        left["unreadable"] = (found.unreadable, [])
    term.connection.execute(_SETTLE, (pipeline.name, found.batch.id, list(left)))
    for kind, (rows, sample) in left.items():
        term.connection.execute(_FIND, (pipeline.name, found.batch.id, kind, rows, sample))
    return sum(rows for rows, _ in left.values())
