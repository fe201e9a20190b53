"""How every benchmark prints: a title, what was measured, the figure, and its ratio to the bound beside it."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_LIMITS = ("limit_normal", "limit_query", "limit_reports", "limit_events", "limit_address")
UNLIMITED: Any = dict.fromkeys(_LIMITS, 1_000_000_000)
"""Settings of a server that is measured: it is asked more often than anybody may."""


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    Console(width=120).print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of `values`; `share` from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def peak_mb() -> float:
    """This process's largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
