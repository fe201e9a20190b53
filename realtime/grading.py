"""Where an answer leaves the room to be graded and kept: one writer for live and ordinary answers.

The writer belongs to ingestion, which api hands over: it grades, makes the response's id, and writes the row and the
`answer_submitted` event in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from core.clock import epoch_ms
from realtime.protocol import Answer, AnswerSubmitted
from realtime.session import Question, Sitting, State


@dataclass(frozen=True)
class LiveAnswer:
    """What a pupil chose, as he sent it, with everything else as the server knows it."""

    school_id: int
    classroom_id: int
    session_id: int
    quiz_id: int
    quiz_version: int
    opened_at: datetime
    question: Question
    student_id: int
    choice: Answer
    received_at: datetime
    time_spent_ms: int
    client_id: str | None


class Outcome(StrEnum):
    """What the writer did; both mean that exactly one answer of this pupil is kept."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


class AnswerWriter(Protocol):
    """Keeps an answer and returns after its commit; raises an EduError when nothing was written."""

    async def __call__(self, answer: LiveAnswer, /) -> Outcome:
        """Grade and keep the answer, or find that this pupil has answered before."""
        ...


def live_answer(
    sitting: Sitting, state: State, frame: AnswerSubmitted, student_id: int, received: datetime
) -> LiveAnswer:
    """The answer to the open question; the time spent runs from its display to the frame's arrival."""
    return LiveAnswer(
        school_id=sitting.school_id,
        classroom_id=sitting.classroom_id,
        session_id=sitting.session_id,
        quiz_id=sitting.quiz_id,
        quiz_version=sitting.quiz_version,
        opened_at=sitting.opened_at,
        question=sitting.questions[frame.question_id],
        student_id=student_id,
        choice=frame.answer,
        received_at=received,
        time_spent_ms=max(0, epoch_ms(received) - (state.opens_at or 0)),
        client_id=frame.key,
    )
