"""What could not be taken: each row with its file, line, column, value and the reason."""

from __future__ import annotations

import csv
import re
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

_HEADER = ("file", "line", "column", "value", "reason")
_SHOWN = 200
_SAMPLES = 20
_FORMULA = re.compile(r"[=+@\t\r]|-(?![\d.])")


@dataclass(frozen=True)
class Reject:
    """One row that was refused; `column` is empty where the row as a whole is at fault."""

    file: str
    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" + (f": {self.column}" if self.column else "")
        return f"{place}: {self.reason}" + (f" (it says «{self.value}»)" if self.value else "")


class Rejects:
    """Counts refused rows, keeps the first few, writes all to `path`; the file exists only if a row was refused."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.samples: list[Reject] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._writer: Any = None

    def __enter__(self) -> Rejects:
        if self.path:
            self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, file: str, line: int, column: str, value: object, reason: str) -> None:
        """Take one row; safe from any thread."""
        reject = Reject(file, line, column, _shown(value), reason)
        with self._lock:
            self.counts[file] += 1
            if len(self.samples) < _SAMPLES:
                self.samples.append(reject)
            if self.path:
                self._write(self.path, reject)

    def _write(self, path: Path, reject: Reject) -> None:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
            self._writer.writerow(_HEADER)
        self._writer.writerow((reject.file, reject.line, reject.column, _inert(reject.value), reject.reason))


def _shown(value: object) -> str:
    """The value as printable text of bounded length."""
    text = "" if value is None else str(value)
    cut = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
    return cut.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _inert(value: str) -> str:
    """A spreadsheet must not run what a stranger's cell holds."""
    return "'" + value if _FORMULA.match(value) else value
