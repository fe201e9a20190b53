"""How fast the made-up district is made and loaded, in what memory, and what that means for 900,000 students.

`python -m benchmarks.demo_generator [SCHOOLS]`: the smaller size is a quarter of it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import peak_mb, show
from core.postgres import migrate
from core.postgres_server import PostgresServer
from ingestion.importers import import_source
from ingestion.importers.district import District
from ingestion.importers.rejects import Rejects
from ingestion.importers.tables import TABLES

_STUDENTS, _DAYS = 900_000, 30


def district(schools: int) -> District:
    """`schools` × 30 × 30 students over 30 days."""
    return District(schools=schools, classrooms_per_school=30, students_per_classroom=30, days=_DAYS)


def _made(schools: int) -> tuple[int, float]:
    """Rows of all tables and the seconds that they took to make."""
    began, source = time.perf_counter(), district(schools)
    tables = [table for table in TABLES if source.columns(table)]
    rows = sum(len(chunk.rows) for table in tables for chunk in source.chunks(table, 20_000, Rejects(None)))
    return rows, time.perf_counter() - began


def _sizes(schools: int) -> Iterator[tuple[object, ...]]:
    for size in (max(1, schools // 4), schools):
        rows, seconds = _made(size)
        yield size * 900, rows, round(rows / seconds), peak_mb()


def _loaded(schools: int) -> tuple[int, float]:
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as place:
        server = PostgresServer(Path(place, "postgres"))
        url = server.start()
        try:
            migrate(url)
            report = import_source(url, district(schools))
        finally:
            server.stop()
    if report.rejected:
        sys.exit(f"{report.rejected} rows were refused: {report.samples[:3]}")
    return report.inserted, report.seconds


def main(schools: int) -> None:
    """Measure and print."""
    made = list(_sizes(schools))
    show("District made", ("students", "rows", "rows/s", "peak MB"), made)
    rows, seconds = _loaded(schools)
    show(
        "District made and loaded",
        ("students", "rows", "rows/s", "peak MB"),
        [(schools * 900, rows, round(rows / seconds), peak_mb())],
    )
    scale = _STUDENTS / (schools * 900)
    show(
        f"Projection to {_STUDENTS:,} students, {_DAYS} days",
        ("", "rows", "hours"),
        [
            ("made", round(rows * scale), rows * scale / float(str(made[-1][2])) / 3600),
            ("made and loaded", round(rows * scale), seconds * scale / 3600),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
