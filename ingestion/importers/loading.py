"""One loading path for every source: table by table, chunk by chunk, each chunk one transaction.

Killed at any time, the next run meets what is there and goes on; a run over the same source changes nothing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from core.errors import BadInput, Conflict, Unavailable
from core.postgres import connect
from ingestion.importers.dimensions import DimensionLoader
from ingestion.importers.facts import Payload, encode
from ingestion.importers.folder import Folder
from ingestion.importers.references import References
from ingestion.importers.rejects import Rejects
from ingestion.importers.report import Callback, ImportReport, TableReport
from ingestion.importers.seen import SeenIds
from ingestion.importers.source import Source
from ingestion.importers.tables import FACTS, TABLES
from ingestion.importers.writing import FactWriter
from ingestion.partitions import ensure_months_blocking

_DIMENSION_ROWS = 5_000
_FACT_ROWS = 20_000
_WAITING = 3
_NAME_LENGTH = 80
_PATIENCE = "30s"
_LOCK = "select pg_advisory_lock(hashtextextended('import ' || %(source)s, 0))"


def import_folder(
    url: str,
    folder: Path,
    *,
    source: str | None = None,
    progress: Callback | None = None,
    rejects: Path | None = None,
) -> ImportReport:
    """Bring a folder of csv(.gz) files into the record at `url`, under the id namespace `source` (the folder's name).

    Refused rows go to the CSV file `rejects`. Raises NotFound, BadInput (names, headers), Conflict (already running),
    Unavailable (Postgres went away).
    """
    tables = Folder(Path(folder), source)
    if rejects and rejects.resolve() in tables.files:
        raise BadInput(f"{rejects} is a file of the import; choose another for the refused rows.", code="import_format")
    return import_source(url, tables, progress=progress, rejects=rejects)


def import_source(
    url: str, source: Source, *, progress: Callback | None = None, rejects: Path | None = None
) -> ImportReport:
    """Bring all tables of a source into the record at `url`."""
    if not 1 <= len(source.name) <= _NAME_LENGTH:
        raise BadInput(f"The source's name must have 1 to {_NAME_LENGTH} characters.", code="import_format")
    began = time.monotonic()
    report = ImportReport(source.name, ignored=list(source.ignored))
    with _connected(), Rejects(rejects) as bad, connect(url) as connection, _rare_collections():
        connection.autocommit = True
        _claim(connection, source.name)
        _Run(url, connection, source, bad, report, progress).load()
        report.samples = bad.samples
    report.seconds = time.monotonic() - began
    return report


@contextmanager
def _connected() -> Iterator[None]:
    """Turns a lost connection into `Unavailable`."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise Unavailable("Postgres is away. What was committed stays; run the import again.") from error


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Millions of live rows without cycles make Python's cycle collector as costly as the work itself."""
    usual = gc.get_threshold()
    gc.set_threshold(500_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _claim(connection: psycopg.Connection[Any], source: str) -> None:
    """Two imports of one source at once would race for its ids; a killed one lets go within moments."""
    connection.execute("select set_config('lock_timeout', %(time)s, false)", {"time": _PATIENCE})
    try:
        connection.execute(_LOCK, {"source": source})
    except psycopg.errors.LockNotAvailable:
        raise Conflict(f"Another import of {source} is running.") from None
    connection.execute("set lock_timeout = 0")


class _Run:
    """One import while it runs."""

    def __init__(
        self,
        url: str,
        connection: psycopg.Connection[Any],
        source: Source,
        rejects: Rejects,
        report: ImportReport,
        progress: Callback | None,
    ) -> None:
        self._url, self._connection, self._source = url, connection, source
        self._rejects, self._report, self._progress = rejects, report, progress
        self._references = References(connection, source.name)

    def load(self) -> None:
        """All tables, in the order in which they refer to each other."""
        for table in TABLES:
            if self._source.columns(table):
                seen = None if self._source.unique else SeenIds()
                self._report.tables[table] = TableReport()
                self._references.forget()
                (self._load_facts if table in FACTS else self._load_rows)(table, seen)
                if seen:
                    seen.close()
        self._count_anew()

    def _count_anew(self) -> None:
        """Postgres plans by what it knows of a table's rows, and looks by itself only after a minute."""
        grown = [table for table, report in self._report.tables.items() if report.inserted]
        if grown:
            names = map(sql.Identifier, {"import_ids", *(TABLES[table].target for table in grown)})
            self._connection.execute(sql.SQL("analyze {}").format(sql.SQL(", ").join(names)))

    def _load_rows(self, table: str, seen: SeenIds | None) -> None:
        columns, report = self._source.columns(table), self._report.tables[table]
        loader = DimensionLoader(self._connection, TABLES[table], columns, self._references, self._rejects)
        for chunk in self._source.chunks(table, _DIMENSION_ROWS, self._rejects):
            report.read += chunk.read
            report.rejected += chunk.refused
            loader.load(chunk, seen, report)
            self._tell(table, chunk.total)

    def _load_facts(self, table: str, seen: SeenIds | None) -> None:
        with FactWriter(self._url, table, self._rejects) as writer:
            for chunk in self._source.chunks(table, _FACT_ROWS, self._rejects):
                payload = encode(table, chunk, self._references, seen, self._rejects)
                self._ensure_months(table, payload)
                writer.submit(payload)
                self._count(table, writer, room=_WAITING)
            self._count(table, writer, room=0)

    def _ensure_months(self, table: str, payload: Payload) -> None:
        with self._connection.transaction():
            ensure_months_blocking(self._connection, payload.moments.values(), [table])

    def _count(self, table: str, writer: FactWriter, *, room: int) -> None:
        report = self._report.tables[table]
        for payload, done in writer.drain(room=room):
            report.read += done.read
            report.inserted += done.inserted
            report.rejected += done.rejected
            self._tell(table, payload.total)

    def _tell(self, table: str, total: int | None) -> None:
        if self._progress:
            self._progress(self._report.tables[table].read, total, table)
