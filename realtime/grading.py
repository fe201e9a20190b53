"""Where an answer leaves the room to be graded and kept: one writer for live and ordinary answers.

The writer belongs to ingestion, which api hands over: it grades, makes the response's id, and writes the row and the
`answer_submitted` event in one transaction. The attempt number of a live answer is the run of its question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from realtime.protocol import Answer
from realtime.session import Question, Sitting


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What a pupil chose, as he sent it, with everything else as the server knows it."""

    sitting: Sitting
    question: Question
    run: int
    student_id: int
    choice: Answer
    received_at: datetime
    time_spent_ms: int
    client_id: str | None


@dataclass(frozen=True, slots=True)
class Graded:
    """A graded answer, ready to be kept: `choice` in its normal form, `score` 0 to 1 or None."""

    school_id: int
    classroom_id: int
    session_id: int
    quiz_id: int
    quiz_version: int
    opened_at: datetime
    question_id: int
    run: int
    student_id: int
    choice: str | None
    correct: bool | None
    score: float | None
    time_spent_ms: int
    submitted_at: datetime
    client_id: str | None


class Outcome(StrEnum):
    """What became of an answer; but for LOCKED exactly one answer of this pupil is kept."""

    ACCEPTED = "accepted"
    CHANGED = "changed"
    DUPLICATE = "duplicate"
    LOCKED = "locked"


class AnswerWriter(Protocol):
    """Grades answers and keeps them."""

    def grade(self, answer: LiveAnswer, /) -> Graded:
        """Right or wrong; raises InvalidField for an option that is not there."""
        ...

    async def keep(self, answers: Sequence[Graded], /) -> list[Outcome]:
        """Write them, or find that these pupils have answered before; returns after the commit.

        Raises an EduError when nothing was written."""
        ...
