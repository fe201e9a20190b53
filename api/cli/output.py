"""What the command line prints: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from api.reports.spreadsheet import to_csv

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}")
console = Console()
errors = Console(stderr=True)


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_rows(rows: Sequence[dict[str, Any]], form: Format, title: str | None = None) -> None:
    """Print rows in the wanted form."""
    columns = list(rows[0]) if rows else []
    if form is Format.JSON:
        print_json(rows)
    elif form is Format.CSV:
        sys.stdout.write(to_csv(columns, ([row[column] for column in columns] for row in rows)))
    else:
        print_table(columns, rows, title)
        if rows:
            console.print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", style="dim")


def print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]], title: str | None = None) -> None:
    """A table; numbers to the right."""
    if not rows:
        console.print(f"{title}: nothing" if title else "no rows", style="dim", highlight=False)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        numeric = all(isinstance(row[column], int | float) or row[column] is None for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    console.print(table)


def print_record(row: dict[str, Any], title: str | None = None) -> None:
    """One row, its fields below each other."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in row.items():
        table.add_row(name, cell(value))
    console.print(table)


def cell(value: Any) -> str:
    """A value for people."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    return _short_time(text) if _TIME.fullmatch(text) else text


def _short_time(text: str) -> str:
    """A time without what is zero: `2026-11-02`, `2026-11-02 09:15`."""
    return text.replace("T", " ").removesuffix(".000").removesuffix(":00").removesuffix(" 00:00")


def print_json(value: Any) -> None:
    """Indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def complain(message: str) -> None:
    """One line on stderr."""
    errors.print(f"[red]error:[/] {message}", highlight=False, soft_wrap=True)
