"""Rows leave their batches: number and fingerprint become those of what remains, so that audits balance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from ingestion.batches import Blocking, fingerprint

# The batch of a row by its place in the log; for rows that ClickHouse does not have (lost, or not yet brought).
_BY_PLACE = """
select r.id::uuid as id, b.id as batch
from unnest(%(ids)s::text[], %(xids)s::text[], %(seqs)s::bigint[]) as r (id, xid, seq)
join batches b on b.pipeline = %(pipeline)s and b.state = 'committed'
  and (r.xid::xid8, r.seq) >= (b.lo_xid, b.lo_seq) and (r.xid::xid8, r.seq) <= (b.hi_xid, b.hi_seq)
  and pg_visible_in_snapshot(r.xid::xid8, b.target) and not pg_visible_in_snapshot(r.xid::xid8, b.done)
"""
_READ = (
    "select id, rows, fingerprint from batches where pipeline = %s and id = any(%s) and state = 'committed' for update"
)
_WRITE = (
    "update batches set rows = %(rows)s, fingerprint = %(fingerprint)s where pipeline = %(pipeline)s and id = %(id)s"
)


def find_batches(
    connection: Blocking, pipeline: str, rows: Iterable[tuple[UUID, str, int]], known: Mapping[UUID, int]
) -> dict[UUID, int]:
    """The batch of each row (id, xid, seq): as ClickHouse says (`known`), else by its place, if it is in one."""
    unknown = [row for row in rows if row[0] not in known]
    found = dict(known)
    if unknown:
        ids, xids, seqs = zip(*((str(row[0]), row[1], row[2]) for row in unknown), strict=True)
        values = {"pipeline": pipeline, "ids": list(ids), "xids": list(xids), "seqs": list(seqs)}
        found |= {row["id"]: row["batch"] for row in connection.execute(_BY_PLACE, values).fetchall()}
    return found


def subtract(connection: Blocking, pipeline: str, batch_of: Mapping[UUID, int]) -> int:
    """Take rows out of their batches, within the caller's transaction; returns how many batches were touched."""
    leaving: dict[int, list[UUID]] = defaultdict(list)
    for identifier, batch in batch_of.items():
        leaving[batch].append(identifier)
    batches = connection.execute(_READ, (pipeline, sorted(leaving))).fetchall()
    for row in batches:
        gone = leaving[row["id"]]
        rest = int(row["fingerprint"]) ^ fingerprint(gone)
        values = {"pipeline": pipeline, "id": row["id"], "rows": row["rows"] - len(gone), "fingerprint": rest}
        connection.execute(_WRITE, values)
    return len(batches)
