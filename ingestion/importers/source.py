"""What every importer hands to the loading path: typed records, in chunks, table by table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ingestion.importers.rejects import Rejects

Record: TypeAlias = tuple[Any, ...]
"""One row: a value for each column of its `Table`, in that order; ids are the source's own, as text."""


@dataclass
class Chunk:
    """Some rows of one table. `lines` are their places in `file`; `refused` rows were met and left out;
    `total` is the number of rows of the whole table as far as the source can tell."""

    file: str
    lines: list[int] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)
    refused: int = 0
    total: int | None = None

    @property
    def read(self) -> int:
        """How many rows of the source this chunk accounts for."""
        return len(self.rows) + self.refused

    def part(self, start: int, stop: int) -> Chunk:
        """Some of the rows, as a chunk of its own."""
        return Chunk(self.file, self.lines[start:stop], self.rows[start:stop])


class Source(Protocol):
    """A folder of files, a generator: anything that yields the normalized tables."""

    @property
    def name(self) -> str:
        """The namespace of its ids."""

    @property
    def ignored(self) -> Sequence[str]:
        """What it holds beside the format."""

    @property
    def unique(self) -> bool:
        """Whether it is known never to show an id twice."""

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table that it knows; none if it lacks the table. The rest of a record is left as it is."""

    def chunks(self, table: str, size: int, rejects: Rejects) -> Iterator[Chunk]:
        """The rows of a table."""
