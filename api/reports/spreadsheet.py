"""A report's table as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = tuple("=+-@\t\r\n＝＋－＠|%")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated text with a header; a text that a spreadsheet would run as a formula gets a quote before it."""
    return csv_rows([columns]) + csv_rows(rows)


def csv_rows(rows: Iterable[Iterable[Any]]) -> str:
    """Rows without a header, as safe as `to_csv`."""
    file = io.StringIO()
    csv.writer(file).writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return "" if value is None else value
