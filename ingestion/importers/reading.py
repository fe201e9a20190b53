"""The lines of a csv or csv.gz file, in flat memory; what is broken in the bytes is named, never guessed."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import BadInput

_BLOCK = 1 << 18
_GZIP = b"\x1f\x8b"
CUT_OFF = "the gzip file is cut off"


class Inflated(io.RawIOBase):
    """The bytes of a gzip file. A cut or broken file ends where it breaks, and `fault` says so."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(wbits=31)
        self._rest = b""
        self.fault: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = b""
        while not data and not self.fault:
            self._rest = self._rest or self._file.read(_BLOCK)
            if not self._rest:
                self.fault = None if self._inflate.eof else CUT_OFF
                break
            data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        if self._inflate.eof:
            self._rest = self._rest.lstrip(b"\0")
            if not self._rest:
                return b""
            self._inflate = zlib.decompressobj(wbits=31)
        try:
            data = self._inflate.decompress(self._rest, size)
        except zlib.error:
            self.fault = "the gzip file is broken"
            return b""
        self._rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return data


class CsvFile:
    """Iterates (line number, cells, fault or None) of a file, header first; `fraction` is how far it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = max(path.stat().st_size, 1)
        self._file = path.open("rb")
        self._inflated: Inflated | None = None
        self._fault: str | None = None
        raw: BinaryIO = self._file
        if self._file.peek(2)[:2] == _GZIP:
            self._inflated = Inflated(self._file)
            raw = io.BufferedReader(self._inflated, _BLOCK)
        elif path.suffix == ".gz":
            self._file.close()
            raise BadInput(f"{path.name} is not a gzip file.", code="import_format")
        self._text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()

    @property
    def fraction(self) -> float:
        """The share of the file's bytes that has been read."""
        return self._file.tell() / self._size

    @property
    def damage(self) -> str | None:
        """What ended the file too early, once it has been read."""
        return self._inflated.fault if self._inflated else None

    def __iter__(self) -> Iterator[tuple[int, list[str], str | None]]:
        reader = csv.reader(self._lines(), strict=True)
        while True:
            self._fault = None
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, [], f"is not CSV: {error}"
                continue
            if cells:
                yield line, cells, self._fault

    def _lines(self) -> Iterator[str]:
        for line in self._text:
            if not line.isascii() and not _is_utf8(line):
                self._fault = "is not UTF-8"
            if "\0" in line:
                self._fault = "holds a NUL character"
            if line[-1] not in "\n\r" and self.damage:
                self._fault = f"is incomplete: {self.damage}"
            yield line


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def broken(path: Path) -> str | None:
    """Why the bytes of a gzip file cannot be trusted (its checksum says so), found by reading it once; a file that
    is only cut off is good as far as it goes."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != _GZIP:
            return None
        inflated = Inflated(file)
        buffer = memoryview(bytearray(_BLOCK))
        while inflated.readinto(buffer):
            pass
    return None if inflated.fault == CUT_OFF else inflated.fault
