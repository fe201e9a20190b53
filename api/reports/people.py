"""What a report showed of people."""

from __future__ import annotations

from typing import Any

from api.audit.personal import Seen, numbers, personal_kind
from engine.model.catalog import Catalog


def seen_in_report(catalog: Catalog, answer: dict[str, Any]) -> Seen | None:
    """By which members, in how many rows, of whom; None if the report is about nobody in particular."""
    members: dict[str, None] = {}
    subjects: set[int] = set()
    rows = 0
    for table in [[answer["subject"] or {}], *(section["rows"] for section in answer["sections"].values())]:
        kinds = {name: kind for name in (table[0] if table else {}) if (kind := _kind(catalog, name))}
        members |= dict.fromkeys(kinds)
        rows += len(table) if kinds else 0
        for name in (name for name, kind in kinds.items() if kind == "subject"):
            subjects |= numbers(row[name] for row in table)
    subjects |= numbers([answer["parameters"].get("student_id")])
    return Seen(tuple(members), rows, frozenset(subjects)) if members or subjects else None


def _kind(catalog: Catalog, name: str) -> str | None:
    """A column may carry a granularity: `cube.time.day`."""
    return personal_kind(catalog, ".".join(name.split(".")[:2]))
