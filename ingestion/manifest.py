"""Which batch brought a row: worked out from the boundaries in the manifest, for rows that are read once more.

The snapshots of consecutive windows see more and more, so a row's window is found by halving; its batch in the window
by the batches' last rows. What is older than the manifest has the number up to which it was settled.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from ingestion.batches import Blocking
from ingestion.pipelines import Pipeline
from ingestion.windows import BEFORE_ALL, START, Key, Snapshot

_WINDOWS = """
select id, done::text, target::text, lo_xid::text, lo_seq, hi_xid::text, hi_seq from batches
where pipeline = %s and state = 'committed' and not keyed and id > %s order by id
"""
_PIECE = 10_000
_NAMED = """
select k.key, max(k.batch) as batch from batch_keys k join batches b on b.pipeline = k.pipeline and b.id = k.batch
where k.pipeline = %s and b.state = 'committed' group by k.key
"""


@dataclass(slots=True)
class Manifest:
    """The boundaries of one pipeline, packed, for there may be a million of them.

    `targets[i]` is the text of the snapshot that ends window i, whose batches are those from `starts[i]` on: their
    numbers and last rows. Before the first window, and before its first row, all is settled; so are rows up to `floor`.
    """

    settled: int
    floor: int
    before: Snapshot = BEFORE_ALL
    first: Key = START
    named: dict[bytes, int] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    starts: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    xids: array[int] = field(default_factory=lambda: array("q"))
    seqs: array[int] = field(default_factory=lambda: array("q"))
    _last: tuple[int, int] = (-1, 0)

    def add(self, row: dict[str, Any]) -> None:
        """The next batch, in the order of numbers."""
        if not self.numbers:
            self.before = Snapshot.parse(row["done"])
            self.first = Key(int(row["lo_xid"]), row["lo_seq"])
        if not self.targets or self.targets[-1] != row["target"]:
            self.targets.append(row["target"])
            self.starts.append(len(self.numbers))
        self.numbers.append(row["id"])
        self.xids.append(int(row["hi_xid"]))
        self.seqs.append(row["hi_seq"])

    def batch_of(self, xid: int, seq: int, key: bytes) -> int:
        """The number of the batch that a loaded row came with; `key` is the text of its id."""
        if self.named and key in self.named:
            return self.named[key]
        if seq <= self.floor or self.before.sees(xid):
            return self.settled
        place = self._window(xid)
        if place == len(self.targets) or (place == 0 and Key(xid, seq) < self.first):
            return self.settled
        start = self.starts[place]
        end = self.starts[place + 1] if place + 1 < len(self.starts) else len(self.numbers)
        batches = range(start, end)
        found = bisect_left(batches, (xid, seq), key=lambda batch: (self.xids[batch], self.seqs[batch]))
        return self.numbers[min(start + found, end - 1)]

    def _window(self, xid: int) -> int:
        """The first window whose end sees the transaction; rows of one transaction are asked for in a row."""
        if self._last[0] != xid:
            place = bisect_left(self.targets, True, key=lambda target: Snapshot.parse(target).sees(xid))
            self._last = (xid, place)
        return self._last[1]


def read_manifest(connection: Blocking, pipeline: Pipeline) -> Manifest:
    """The manifest of a pipeline as it is now; within a transaction."""
    query = "select settled_batch, floor_seq from pipelines where name = %s"
    place = connection.execute(query, (pipeline.name,)).fetchall()[0]
    named = {str(row["key"]).encode(): row["batch"] for row in connection.execute(_NAMED, (pipeline.name,)).fetchall()}
    manifest = Manifest(place["settled_batch"], place["floor_seq"], named=named)
    with connection.cursor("manifest") as rows:
        rows.itersize = _PIECE
        for row in rows.execute(_WINDOWS, (pipeline.name, place["settled_batch"])):
            manifest.add(row)
    return manifest
