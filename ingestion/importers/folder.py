"""A folder of csv and csv.gz files as a source: which files, which columns, cells turned into values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from core.errors import BadInput, NotFound, nearest
from ingestion.importers.cells import BadCell, Memo, absent, parser
from ingestion.importers.reading import CsvFile, broken
from ingestion.importers.rejects import Rejects
from ingestion.importers.source import Chunk
from ingestion.importers.tables import TABLES, Column, Table

_SUFFIXES = (".csv", ".csv.gz")
_SILENT = ("manifest.json",)
_Row: TypeAlias = tuple[int, list[str], str | None]


class Folder:
    """The tables of a folder. Every mistake in names and headers is raised at once, before a row is read."""

    unique = False

    def __init__(self, folder: Path, name: str | None = None) -> None:
        if not folder.is_dir():
            raise NotFound(f"There is no folder {folder}.")
        self.name = name or folder.resolve().name
        self.ignored: list[str] = []
        self._files: dict[str, Path] = {}
        self._headers: dict[str, list[str]] = {}
        faults = [*self._find(folder), *self._read_headers()]
        if faults:
            raise BadInput("\n".join(faults), code="import_format", count=len(faults))

    @property
    def files(self) -> set[Path]:
        """The files that it reads."""
        return {path.resolve() for path in self._files.values()}

    def columns(self, table: str) -> frozenset[str]:
        """The format's columns in the table's header."""
        return frozenset(self._headers.get(table, ())) & _readable(TABLES[table]).keys()

    def chunks(self, table: str, size: int, rejects: Rejects) -> Iterator[Chunk]:
        """The rows of the table's file; rows with a bad cell go to `rejects`."""
        file = CsvFile(self._files[table])
        try:
            yield from _Rows(TABLES[table], self._headers[table], file, rejects).chunks(size)
        finally:
            file.close()

    def _find(self, folder: Path) -> Iterator[str]:
        for path in sorted(folder.iterdir()):
            table = _table_of(path)
            if table in self._files:
                yield f"{path.name}: {self._files[table].name} is there too; keep one of the two."
            elif table in TABLES:
                self._files[table] = path
            elif path.is_file() and path.name not in _SILENT and not path.name.startswith("."):
                self.ignored.append(_unknown(path.name, table, list(TABLES)))
        if not self._files:
            names = ", ".join(f"{name}.csv" for name in TABLES)
            yield f"{folder} holds no table of the format. Expected some of {names} (or .csv.gz)."

    def _read_headers(self) -> Iterator[str]:
        for table, path in self._files.items():
            file = CsvFile(path)
            _, header, fault = next(iter(file), (0, [], "has no header line"))
            file.close()
            fault = fault or broken(path)
            self._headers[table] = header
            problems = [fault] if fault else list(_header_faults(header, TABLES[table]))
            yield from (f"{path.name}: {problem}" for problem in problems)
            if not fault:
                known = _readable(TABLES[table])
                self.ignored += [
                    _unknown(f"{path.name}, column {name}", name, [each for each in known if each not in header])
                    for name in header
                    if name not in known
                ]


class _Rows:
    """The rows of one file."""

    def __init__(self, table: Table, header: Sequence[str], file: CsvFile, rejects: Rejects) -> None:
        self._table, self._file, self._rejects = table, file, rejects
        self._width = len(header)
        self._readers: list[tuple[Memo, int, Column]] = [
            (parser(column), header.index(column.name), column)
            if column.name in header and not column.internal
            else (absent(column), 0, column)
            for column in table.columns
        ]
        self._picks = [(memo, place) for memo, place, _ in self._readers]
        self._refused = 0

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Chunks of at most `size` lines."""
        lines = iter(self._file)
        next(lines)
        read = 0
        while (chunk := self._chunk(islice(lines, size))).read:
            read += chunk.read
            chunk.total = round(read / self._file.fraction)
            yield chunk
        if self._file.damage:
            self._rejects.add(self._file.path.name, read + 1, "", "", f"{self._file.damage}; rows are missing")
            yield Chunk(self._file.path.name, refused=1, total=read)

    def _chunk(self, some: Iterator[_Row]) -> Chunk:
        chunk = Chunk(self._file.path.name)
        picks, width = self._picks, self._width
        add_line, add_row = chunk.lines.append, chunk.rows.append
        for line, cells, fault in some:
            try:
                if fault or len(cells) != width:
                    raise BadCell
                add_row(tuple([memo[cells[place]] for memo, place in picks]))
                add_line(line)
            except BadCell:
                chunk.refused += 1
                self._reject(line, cells, fault)
        return chunk

    def _reject(self, line: int, cells: list[str], fault: str | None) -> None:
        column, value, reason = self._fault_of(cells, fault)
        self._rejects.add(self._file.path.name, line, column, value, reason)

    def _fault_of(self, cells: list[str], fault: str | None) -> tuple[str, str, str]:
        if fault:
            return "", ",".join(cells), fault
        if len(cells) != self._width:
            return "", ",".join(cells), f"has {len(cells)} cells; the header has {self._width}"
        for memo, place, column in self._readers:
            try:
                memo[cells[place]]
            except BadCell as error:
                return column.name, cells[place], str(error)
        raise AssertionError("a refused row without a bad cell")


def _readable(table: Table) -> dict[str, Column]:
    return {column.name: column for column in table.columns if not column.internal}


def _table_of(path: Path) -> str:
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if path.is_file() and path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return ""


def _unknown(what: str, name: str, names: list[str]) -> str:
    near = nearest(name, names, 1) if name else []
    return f"{what} is not part of the format" + (f"; did you mean {near[0]}?" if near else "")


def _header_faults(header: list[str], table: Table) -> Iterator[str]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        yield f"column {', '.join(twice)} comes more than once."
    known = _readable(table)
    strange = [name for name in header if name not in known]
    for column in known.values():
        if column.name not in header and not column.extra:
            near = nearest(column.name, strange, 1)
            yield f"column {column.name} is missing" + (f"; is {near[0]} meant?" if near else ".")
