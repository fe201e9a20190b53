"""Answers into the record: which attempt is it, is it known already; and the event that goes with it.

The session's row is locked until the commit, so two processes cannot give the same attempt number away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

import msgspec

from core.clock import epoch_ms
from core.ids import derived_id, derived_id_ms
from core.postgres import Connection
from ingestion.staging import EventRow, Status, move_in, store_events

_LOCK = "select id from quiz_sessions where id = any(%s) order by id for no key update"
# All answers of a session share the milliseconds of its opening, which finds the partition and the range in it.
_KNOWN = """
select r.session_id, r.question_id, r.student_id, r.response_id, r.attempt_number, r.client_id, r.choice,
       r.correct, r.score, r.submitted_at
from unnest(%(sessions)s::bigint[], %(questions)s::bigint[], %(students)s::bigint[], %(lows)s::uuid[],
            %(highs)s::uuid[]) as k (session_id, question_id, student_id, low, high)
join responses r on r.student_id = k.student_id and r.question_id = k.question_id and r.session_id = k.session_id
                and r.response_id >= k.low and r.response_id < k.high
order by r.attempt_number
"""
_COLUMNS = (
    "response_id", "school_id", "classroom_id", "session_id", "quiz_id", "quiz_version", "question_id", "student_id",
    "attempt_number", "choice", "correct", "score", "time_spent_ms", "submitted_at", "client_id",
)  # fmt: skip
_values = attrgetter(*_COLUMNS)
_Place: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A graded answer; without an attempt number it becomes the next attempt. `opened_at` is its session's."""

    school_id: int
    classroom_id: int | None
    session_id: int
    opened_at: datetime
    quiz_id: int
    quiz_version: int
    question_id: int
    student_id: int
    attempt_number: int | None
    choice: str | None
    correct: bool | None
    score: float | None
    time_spent_ms: int | None
    submitted_at: datetime
    client_id: str | None = None
    app: str = "notebook"

    @property
    def place(self) -> _Place:
        """Whose answer to what in which session."""
        return self.session_id, self.question_id, self.student_id

    @property
    def response_id(self) -> UUID:
        """The id of this attempt: the same answer always gets the same one."""
        parts = (*self.place, self.attempt_number)
        return derived_id_ms(epoch_ms(self.opened_at), "\x1f".join(map(str, parts)))


@dataclass(frozen=True, slots=True)
class Placed:
    """An answer as it stands in the record; a duplicate or a conflict shows the one that was there first."""

    status: Status
    response_id: UUID
    attempt_number: int
    choice: str | None
    correct: bool | None
    score: float | None
    submitted_at: datetime
    client_id: str | None


async def store_answers(connection: Connection, answers: Sequence[AnswerRow]) -> list[Placed]:
    """Insert answers and their `answer_submitted` events in the caller's transaction."""
    await connection.execute(_LOCK, (sorted({answer.session_id for answer in answers}),))
    known = await _known(connection, answers)
    new: dict[UUID, AnswerRow] = {}
    placed = [_place(answer, known.setdefault(answer.place, []), new) for answer in answers]
    if new:
        stored = await move_in(connection, "responses", "response_id", _COLUMNS, map(_values, new.values()))
        await store_events(connection, [_event(key, answer) for key, answer in new.items() if key in stored])
        placed = [item if item.response_id in stored else _lost(item) for item in placed]
    return placed


async def _known(connection: Connection, answers: Sequence[AnswerRow]) -> dict[_Place, list[Placed]]:
    places = {answer.place: answer for answer in answers}
    opened = [epoch_ms(answer.opened_at) for answer in places.values()]
    cursor = await connection.execute(
        _KNOWN,
        {
            "sessions": [place[0] for place in places],
            "questions": [place[1] for place in places],
            "students": [place[2] for place in places],
            "lows": [UUID(int=ms << 80) for ms in opened],
            "highs": [UUID(int=(ms + 1) << 80) for ms in opened],
        },
    )
    found: dict[_Place, list[Placed]] = {}
    for row in await cursor.fetchall():
        place = (row.pop("session_id"), row.pop("question_id"), row.pop("student_id"))
        found.setdefault(place, []).append(Placed("duplicate", **row))
    return found


def _place(answer: AnswerRow, known: list[Placed], new: dict[UUID, AnswerRow]) -> Placed:
    for earlier in known:
        same_client = answer.client_id is not None and answer.client_id == earlier.client_id
        if same_client or answer.attempt_number == earlier.attempt_number:
            return replace(earlier, status="duplicate" if _agree(answer, earlier) else "conflict")
    attempt = answer.attempt_number or max((earlier.attempt_number for earlier in known), default=0) + 1
    numbered = replace(answer, attempt_number=attempt)
    key = numbered.response_id
    new[key] = numbered
    placed = Placed(
        "accepted", key, attempt, answer.choice, answer.correct, answer.score, answer.submitted_at, answer.client_id
    )
    known.append(placed)
    return placed


def _agree(answer: AnswerRow, earlier: Placed) -> bool:
    """Whether this is the earlier answer sent again."""
    return (
        answer.choice == earlier.choice
        and answer.client_id == earlier.client_id
        and answer.attempt_number in (None, earlier.attempt_number)
    )


def _lost(placed: Placed) -> Placed:
    """An attempt that somebody wrote past the lock is a conflict; what was no new attempt stays what it is."""
    return replace(placed, status="conflict") if placed.status == "accepted" else placed


def _event(identifier: UUID, answer: AnswerRow) -> EventRow:
    props = {
        "question_id": answer.question_id,
        "answer": answer.choice,
        "correct": answer.correct,
        "time_spent": None if answer.time_spent_ms is None else answer.time_spent_ms / 1000,
        "attempt_number": answer.attempt_number,
    }
    return EventRow(
        event_id=derived_id(answer.submitted_at, answer.school_id, "response", identifier),
        school_id=answer.school_id,
        user_id=answer.student_id,
        classroom_id=answer.classroom_id,
        quiz_id=answer.quiz_id,
        session_id=answer.session_id,
        question_id=answer.question_id,
        event_name="answer_submitted",
        schema_version=1,
        app=answer.app,
        occurred_at=answer.submitted_at,
        client_id=None,
        props=msgspec.json.encode(props).decode(),
    )
