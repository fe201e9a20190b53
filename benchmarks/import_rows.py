"""How fast a folder of CSV files comes in, where the time goes, and what a bare COPY of the same rows needs.

`python -m benchmarks.import_rows [ROWS]`: real Postgres with its real settings (fsync, indexes, foreign keys); the rows
are a made-up district's. The same number of rows is imported in quarters first, so that the two peaks can be compared.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import psycopg

from benchmarks.table import peak_mb, show
from core.postgres import connect, migrate
from core.postgres_server import PostgresServer
from ingestion.importers import import_folder
from ingestion.importers.district import District
from ingestion.importers.facts import FACT_COLUMNS, encode
from ingestion.importers.folder import Folder
from ingestion.importers.reading import CsvFile
from ingestion.importers.references import References
from ingestion.importers.rejects import Rejects
from ingestion.importers.tables import TABLES

_PER_SCHOOL = 55_000
_COLUMNS = ", ".join(FACT_COLUMNS["responses"])
_TABLES = [table for table in TABLES if table != "events"]
_PEERS = {
    "COPY, no index": "create table bare (like responses including defaults)",
    "COPY, equal indexes": "create table bare (like responses including defaults including indexes)",
    "COPY, equal indexes and foreign keys": """
        create table bare (like responses including defaults including indexes,
            foreign key (session_id, school_id) references quiz_sessions (id, school_id),
            foreign key (student_id, school_id) references users (id, school_id),
            foreign key (question_id) references questions)""",
}


def write_folder(folder: Path, rows: int) -> int:
    """A district with about `rows` responses as csv.gz files; the number that it has."""
    folder.mkdir()
    district = District(schools=max(1, rows // _PER_SCHOOL), classrooms_per_school=12, students_per_classroom=30)
    written = 0
    for table in (table for table in _TABLES if district.columns(table)):
        columns = [column.name for column in TABLES[table].columns if not column.internal]
        with gzip.open(folder / f"{table}.csv.gz", "wt", compresslevel=1, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for chunk in district.chunks(table, 10_000, Rejects(None)):
                writer.writerows([_cell(value) for value in row[: len(columns)]] for row in chunk.rows)
                written += len(chunk.rows) * (table == "responses")
    return written


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return "[" + ",".join(f'"{each}"' for each in value) + "]"
    return int(value) if isinstance(value, bool) else value


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _steps(url: str, folder: Path, name: str) -> dict[str, float]:
    """Seconds of each step done alone, in this process."""
    rejects, files = Rejects(None), Folder(folder, name)
    path = folder / "responses.csv.gz"
    times = {"read the file": _timed(lambda: sum(1 for _ in CsvFile(path)))}
    whole = _timed(lambda: sum(1 for _ in files.chunks("responses", 20_000, rejects)))
    times["cells to values"] = whole - times["read the file"]
    with connect(url) as connection:
        references = References(connection, name)
        spent = 0.0
        for chunk in files.chunks("responses", 20_000, rejects):
            began = time.perf_counter()
            encode("responses", chunk, references, None, rejects)
            spent += time.perf_counter() - began
    times["references, ids, encoding"] = spent
    return times


def _copy(url: str, definition: str) -> float:
    """Seconds to COPY the imported rows into another table, less the time to read them."""
    with psycopg.connect(url) as source, psycopg.connect(url) as target:
        target.execute("drop table if exists bare")
        target.execute(definition)
        target.execute(
            "create sequence if not exists bare_seq; alter table bare alter seq set default nextval('bare_seq')"
        )
        target.commit()
        with (
            source.cursor() as cursor,
            cursor.copy(f"copy (select {_COLUMNS} from responses) to stdout (format binary)") as out,
        ):
            blocks = list(out)
        with target.cursor() as cursor:
            began = time.perf_counter()
            with cursor.copy(f"copy bare ({_COLUMNS}) from stdin (format binary)") as into:
                for block in blocks:
                    into.write(block)
            target.commit()
            return time.perf_counter() - began


class _Clock:
    """Notes when the first and the last responses were told, and what the processor did in all."""

    def __init__(self) -> None:
        self.before = self.after = time.perf_counter()
        self.python = time.process_time()

    def __call__(self, _done: int, _total: int | None, table: str) -> None:
        self.after = time.perf_counter()
        if table != "responses":
            self.before = self.after


def _children_cpu(postmaster: int) -> float:
    """Seconds of processor that the server's ended connections have used."""
    time.sleep(0.5)
    fields = Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def main(rows: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as place:
        server = PostgresServer(Path(place, "postgres"))
        url = server.start()
        try:
            migrate(url)
            _measure(url, Path(place), rows, int(Path(place, "postgres", "postmaster.pid").read_text().split()[0]))
        finally:
            server.stop()


def _measure(url: str, place: Path, rows: int, postmaster: int) -> None:
    sizes = [write_folder(place / name, size) for name, size in (("quarter", rows // 4), ("whole", rows))]
    peaks, clock, cpu = [], _Clock(), (0.0, 0.0)
    for name, size in zip(("quarter", "whole"), sizes, strict=True):
        clock, before = _Clock(), _children_cpu(postmaster)
        report = import_folder(url, place / name, progress=clock)
        cpu = time.process_time() - clock.python, _children_cpu(postmaster) - before
        if report.rejected or report.tables["responses"].inserted != size:
            sys.exit(f"{name}: {report.rejected} rows were refused: {report.samples[:3]}")
        peaks.append(peak_mb())
    seconds, again = clock.after - clock.before, _Clock()
    import_folder(url, place / "whole", progress=again)
    size = sizes[1]
    results = [("import", seconds), ("import again (nothing changes)", again.after - again.before)]
    results += _steps(url, place / "whole", "whole").items()
    with psycopg.connect(url) as connection:
        connection.execute(
            "delete from responses where session_id in "
            "(select id from import_ids where source = 'quarter' and entity = 'sessions')"
        )
    peers = {name: _copy(url, definition) for name, definition in _PEERS.items()}
    show(
        f"Import of {size:,} responses",
        ("step", "seconds", "rows/s", "µs a row", "import's time ÷ this"),
        [
            (name, taken, round(size / taken), taken / size * 1e6, seconds / taken)
            for name, taken in chain(results, peers.items())
        ],
    )
    python, postgres = (each / size * 1e6 for each in cpu)
    show(
        "Processor time of the import, all tables",
        ("", "µs a row", "rows/s on 2 free cores"),
        [
            ("Python", python, ""),
            ("Postgres", postgres, ""),
            ("both", python + postgres, round(2e6 / (python + postgres))),
        ],
    )
    show("Memory", ("rows", "peak MB"), zip(sizes, peaks, strict=True))


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 300_000)
