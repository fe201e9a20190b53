"""Everything about one person as a ZIP: a JSON and a CSV file for each part, and a README in plain words.

One snapshot of the record, read by a server-side cursor; a piece of rows is in memory, never a whole table.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

import orjson
import psycopg
from psycopg.rows import DictRow

from api.privacy.people import PARTS, Part
from api.reports.spreadsheet import csv_rows
from core.clock import now
from core.postgres import connect
from ingestion.archive.person import shadow
from ingestion.archive.store import Store

_PIECE = 1_000
_IN_MEMORY = 4_000_000
_HEAD = """\
Person {user}, {moment:%Y-%m-%d %H:%M} UTC

English
This archive holds everything that EduAnalytics keeps about this person. Each part comes twice: as JSON (for programs)
and as CSV (for a spreadsheet). Times are in UTC. People are called by their numbers.
The data that questions are answered from is a copy of these tables and holds nothing more about the person.

Deutsch
Dieses Archiv enthält alles, was EduAnalytics über diese Person speichert. Jeder Teil liegt zweimal vor: als JSON (für
Programme) und als CSV (für eine Tabellenkalkulation). Zeiten sind in UTC. Personen sind mit ihren Nummern genannt.
Die Daten, aus denen Auswertungen entstehen, sind eine Kopie dieser Tabellen und enthalten nicht mehr über die Person.

"""


def make_archive(url: str, user_id: int, store: Store | None = None) -> IO[bytes]:
    """The archive, ready to be read from its beginning; on disk if it is large, and gone when it is closed.

    `store`: where months lie that have left the record. Raises `Damaged` when one of them cannot be read.
    """
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller reads and closes it
    try:
        with connect(url) as connection, ZipFile(file, "w", ZIP_DEFLATED) as archive:
            if store is not None:
                shadow(connection, store, user_id)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            counts = [_write(archive, connection, part, user_id) for part in PARTS]
            archive.writestr("README.txt", _readme(user_id, counts))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def pieces(file: IO[bytes], size: int = 65_536) -> Iterator[bytes]:
    """The archive's bytes; closes it at the end."""
    with file:
        while piece := file.read(size):
            yield piece


def _readme(user_id: int, counts: Sequence[int]) -> str:
    lines = [
        f"{part.name} ({count})\n    {part.english}\n    {part.german}\n"
        for part, count in zip(PARTS, counts, strict=True)
    ]
    return _HEAD.format(user=user_id, moment=now()) + "\n".join(lines)


def _write(archive: ZipFile, connection: psycopg.Connection[DictRow], part: Part, user_id: int) -> int:
    """Both files of a part; the number of its rows."""
    count = 0
    with archive.open(f"{part.name}.json", "w") as file:
        file.write(b"[")
        for rows, _ in _read(connection, part, user_id):
            told = b",\n".join(orjson.dumps(row, default=str) for row in rows)
            file.write((b",\n" if count else b"\n") + told)
            count += len(rows)
        file.write(b"\n]\n")
    with archive.open(f"{part.name}.csv", "w") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        for number, (rows, columns) in enumerate(_read(connection, part, user_id, empty=True)):
            header: list[Iterable[Any]] = [columns] if number == 0 else []
            text.write(csv_rows([*header, *([_cell(row[name]) for name in columns] for row in rows)]))
    return count


def _read(
    connection: psycopg.Connection[DictRow], part: Part, user_id: int, *, empty: bool = False
) -> Iterator[tuple[list[DictRow], list[str]]]:
    """The rows in pieces, with the names of the columns; `empty`: one empty piece where there are none."""
    with connection.cursor("part") as cursor:
        cursor.execute(part.query, {"user": user_id})
        names = [column.name for column in cursor.description or ()]
        while rows := cursor.fetchmany(_PIECE):
            empty = False
            yield rows, names
    if empty:
        yield [], names


def _cell(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value
