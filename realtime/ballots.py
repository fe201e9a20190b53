"""The answers to the open question, in memory: who chose what. Pure; filled from the record, then kept up.

A histogram is counted here, so that a class that answers costs the record nothing but its answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

BARS = 50
"""Free text may have many values; the most frequent are shown."""
LONGEST = 100


class Chosen(NamedTuple):
    """An answer in its normal form, and whether it is right (None: nobody can say)."""

    choice: str
    correct: bool | None


@dataclass
class Ballots:
    """The answers to one run of one question; `of` pupils are enrolled."""

    question_id: int
    run: int
    of: int = 0
    chosen: dict[int, Chosen] = field(default_factory=dict)

    def is_of(self, question_id: int | None, run: int) -> bool:
        """Whether these are the answers to that run."""
        return (self.question_id, self.run) == (question_id, run)

    def put(self, student_id: int, choice: str | None, correct: bool | None) -> None:
        """One pupil's newest answer."""
        self.chosen[student_id] = Chosen((choice or "")[:LONGEST], correct)

    def fill(self, rows: Mapping[int, Chosen], of: int) -> None:
        """What the record has; answers that this node has just written are not lost by an older reading."""
        self.of = of
        self.chosen |= rows

    def counts(self) -> dict[str, int]:
        """Choice → number, the most frequent first."""
        return dict(_ordered(chosen.choice for chosen in self.chosen.values())[:BARS])

    def waiting(self, here: Iterable[int]) -> list[int]:
        """Who of those is here and has not answered."""
        return [student for student in here if student not in self.chosen]

    def top_wrong(self) -> tuple[str | None, int]:
        """The most chosen answer that is wrong, and how many chose it."""
        wrong = _ordered(chosen.choice for chosen in self.chosen.values() if chosen.correct is False)
        return wrong[0] if wrong else (None, 0)


def _ordered(choices: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(choices).items(), key=lambda item: (-item[1], item[0]))
