"""Answers to one question, by what was chosen → the marks that the question's key gives them now. Pure.

chosen  mark  answers        key B → C        chosen  mark
B       1     20                              B       0
C       0      7                              C       1
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.errors import InvalidField
from ingestion.grading import grade

Mark: TypeAlias = tuple[bool | None, float | None]
_ARGUMENT_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What grading needs of a question; without a key nothing is graded: the question does not count."""

    qtype: str
    options: Sequence[Any]
    answer_key: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Equal answers: chosen alike and marked alike. `imported`: they came with an import, where no choice may mean that
    the source did not record it."""

    choice: str | None
    correct: bool | None
    score: float | None
    imported: bool
    answers: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How many answers there are, change, go up or down, begin or cease to count, and cannot be graded."""

    answers: int = 0
    changed: int = 0
    up: int = 0
    down: int = 0
    counted: int = 0
    uncounted: int = 0
    ungradable: int = 0


def mark(asked: Asked, choice: str | None, *, imported: bool) -> Mark | None:
    """The mark of an answer as it stands in the record; None where nobody can say: it keeps what it has."""
    if choice is None and imported:
        return None
    try:
        graded = grade(asked.qtype, asked.options, asked.answer_key, choice)
    except InvalidField:
        return None
    return graded.correct, graded.score


def changes(asked: Asked, groups: Iterable[Group]) -> list[tuple[Group, Mark]]:
    """The groups whose mark is another one now."""
    found = []
    for group in groups:
        new = mark(asked, group.choice, imported=group.imported)
        if new is not None and new != (group.correct, group.score):
            found.append((group, new))
    return found


def tally(asked: Asked, groups: Sequence[Group]) -> Tally:
    """What a regrade does, in numbers."""
    sums: dict[str, int] = defaultdict(int)
    for group, (_, score) in changes(asked, groups):
        sums["changed"] += group.answers
        sums[_direction(group.score, score)] += group.answers
    ungradable = [group for group in groups if mark(asked, group.choice, imported=group.imported) is None]
    sums.pop("same", None)
    return Tally(
        answers=sum(group.answers for group in groups), ungradable=sum(group.answers for group in ungradable), **sums
    )


def _direction(old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return "same" if old is new else "counted" if old is None else "uncounted"
    return "up" if new > old else "down" if new < old else "same"


def pieces(marks: dict[str, Mark]) -> list[list[tuple[Mark, list[str]]]]:
    """Choices by their mark, in pieces of bounded size: each piece is one mutation, seen by readers as a whole."""
    found: list[dict[Mark, list[str]]] = [defaultdict(list)]
    size = 0
    for choice, new in marks.items():
        size += len(choice.encode()) + 8
        if size > _ARGUMENT_BYTES:
            found.append(defaultdict(list))
            size = len(choice.encode()) + 8
        found[-1][new].append(choice)
    return [list(piece.items()) for piece in found if piece]
