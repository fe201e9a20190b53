"""What the three reports share: the period, and counts over answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, TypeVar

from tests.oracle.arithmetic import ratio
from tests.oracle.world import Answer

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Row = dict[str, Any]
Sections = dict[str, list[Row]]


@dataclass(frozen=True)
class Period:
    """The days that a report looks at, local to `zone`; None is open."""

    first: date | None
    last: date | None
    zone: tzinfo

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment lies in it; an unknown one lies only in the open period."""
        if moment is None:
            return self.first is None and self.last is None
        day = moment.astimezone(self.zone).date()
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Rows by key."""
    found: dict[K, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def right_count(rows: list[Answer]) -> int:
    """Answers marked right."""
    return len([row for row in rows if row.correct is True])


def wrong_count(rows: list[Answer]) -> int:
    """Answers marked wrong."""
    return len([row for row in rows if row.correct is False])


def accuracy(rows: list[Answer]) -> float | None:
    """Right ones of the marked ones."""
    return ratio(right_count(rows), right_count(rows) + wrong_count(rows))


def first_accuracy(rows: list[Answer]) -> float | None:
    """The same, of first tries."""
    return accuracy([row for row in rows if row.attempt == 1])


def tries(rows: list[Answer]) -> float | None:
    """Answers per question met."""
    return ratio(len(rows), len({(row.session.id, row.student.id, row.question.id) for row in rows}))


def times(rows: list[Answer]) -> list[float]:
    """The measured seconds."""
    return [row.time_ms / 1000 for row in rows if row.time_ms is not None]


def days(rows: list[Answer], zone: tzinfo) -> int:
    """Different local days with an answer."""
    return len({row.submitted_at.astimezone(zone).date() for row in rows})


def weeks_between(mondays: list[str]) -> int:
    """Calendar weeks from the first to the last Monday, both included."""
    if not mondays:
        return 0
    return (datetime.fromisoformat(mondays[-1]) - datetime.fromisoformat(mondays[0])).days // 7 + 1
