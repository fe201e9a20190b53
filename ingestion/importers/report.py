"""What an import did, table by table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ingestion.importers.rejects import Reject

Callback: TypeAlias = Callable[[int, int | None, str], None]
"""Called after each chunk with (rows done, rows in all as far as one can tell, table)."""


@dataclass
class TableReport:
    """Rows of one table: read = inserted + updated + unchanged + rejected."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    rejected: int = 0

    @property
    def unchanged(self) -> int:
        """Rows that were there already, with the same content."""
        return self.read - self.inserted - self.updated - self.rejected


@dataclass
class ImportReport:
    """The whole import. `ignored`: files and columns that are not part of the format; `samples`: the first rejects."""

    source: str
    tables: dict[str, TableReport] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    samples: list[Reject] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rejected(self) -> int:
        """How many rows were refused in all; the command's exit code tells it."""
        return sum(table.rejected for table in self.tables.values())

    @property
    def inserted(self) -> int:
        """How many rows are new."""
        return sum(table.inserted for table in self.tables.values())

    @property
    def updated(self) -> int:
        """How many rows got another content."""
        return sum(table.updated for table in self.tables.values())
