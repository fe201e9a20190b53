"""Which batch brought a row: worked out from the boundaries in the manifest, for rows that are read once more.

The snapshots of consecutive windows see more and more, so a row's window is found by halving; its batch in the window
by the batches' last rows. What is older than the manifest has the number up to which it was settled.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from uuid import UUID

from ingestion.batches import Blocking
from ingestion.pipelines import Pipeline
from ingestion.windows import BEFORE_ALL, START, Key, Snapshot

_WINDOWS = """
select id, done::text, target::text, lo_xid::text, lo_seq, hi_xid::text, hi_seq from batches
where pipeline = %s and state = 'committed' and not keyed and id > %s order by id
"""
_NAMED = """
select k.key, max(k.batch) as batch from batch_keys k join batches b on b.pipeline = k.pipeline and b.id = k.batch
where k.pipeline = %s and b.state = 'committed' group by k.key
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The boundaries of one pipeline; `targets[i]` ends the window whose batches are `ends[i]` (last row, number).

    Before the first window, and before its first row, all is settled; so are rows up to the number `floor`.
    """

    settled: int
    floor: int
    before: Snapshot
    first: Key
    targets: list[Snapshot] = field(default_factory=list)
    ends: list[list[tuple[Key, int]]] = field(default_factory=list)
    named: dict[UUID, int] = field(default_factory=dict)

    def batch_of(self, xid: int, seq: int, key: UUID) -> int:
        """The number of the batch that a loaded row came with."""
        if self.named and key in self.named:
            return self.named[key]
        if seq <= self.floor or self.before.sees(xid):
            return self.settled
        place = bisect_left(self.targets, True, key=lambda target: target.sees(xid))
        if place == len(self.targets):
            return self.settled
        if place == 0 and Key(xid, seq) < self.first:
            return self.settled
        batches = self.ends[place]
        found = bisect_left(batches, (Key(xid, seq), 0))
        return batches[min(found, len(batches) - 1)][1]


def read_manifest(connection: Blocking, pipeline: Pipeline) -> Manifest:
    """The manifest of a pipeline as it is now."""
    place = connection.execute(
        "select settled_batch, floor_seq, done::text from pipelines where name = %s", (pipeline.name,)
    ).fetchall()[0]
    rows = connection.execute(_WINDOWS, (pipeline.name, place["settled_batch"])).fetchall()
    named = {row["key"]: row["batch"] for row in connection.execute(_NAMED, (pipeline.name,)).fetchall()}
    before = Snapshot.parse(rows[0]["done"]) if rows else BEFORE_ALL
    first = Key(int(rows[0]["lo_xid"]), rows[0]["lo_seq"]) if rows else START
    manifest = Manifest(place["settled_batch"], place["floor_seq"], before, first, named=named)
    for row in rows:
        target = Snapshot.parse(row["target"])
        if not manifest.targets or manifest.targets[-1] != target:
            manifest.targets.append(target)
            manifest.ends.append([])
        manifest.ends[-1].append((Key(int(row["hi_xid"]), row["hi_seq"]), row["id"]))
    return manifest
