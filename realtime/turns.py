"""Self-paced rooms: each pupil has his own question and his own time for it, which outlive his connection."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from core.postgres import Postgres
from realtime.protocol import Item, Turn
from realtime.session import Question, Sitting
from realtime.state import GRACE_MS, Verdict

_NEWEST = """
select position, question_id, opens_at, closes_at from live_turns
where session_id = %(session)s and student_id = %(student)s order by position desc limit 1"""
_GIVE = """
insert into live_turns (session_id, student_id, position, question_id, opens_at, closes_at)
values (%(session)s, %(student)s, %(position)s, %(question)s, %(opens_at)s, %(closes_at)s) on conflict do nothing"""


class Turns:
    """Reads and writes live_turns."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def current(self, sitting: Sitting, student_id: int, answered: Container[int], at: int) -> Turn:
        """The pupil's turn at `at` (ms); his next question is given to him, its clock begins now."""
        key = {"session": sitting.session_id, "student": student_id}
        while True:
            newest = await self._postgres.fetch_one(_NEWEST, key)
            if newest is not None and newest["question_id"] not in answered and not is_over(newest, at):
                return _turn(sitting, newest)
            place = 0 if newest is None else newest["position"]
            question = next((item for item in sitting.questions.values() if item.position > place), None)
            if question is None:
                return Turn(question=None, opens_at=None, closes_at=None, done=_behind(sitting, place), of=_of(sitting))
            await self._postgres.fetch(_GIVE, key | _given(sitting, question, at))


def is_over(turn: dict[str, Any], at: int) -> bool:
    """Whether its time is up at `at` (ms)."""
    return turn["closes_at"] is not None and at > turn["closes_at"] + GRACE_MS


def judge_turn(turn: Turn, question_id: int, asked: Container[int]) -> Verdict:
    """Whether an answer to this question is the one that is awaited."""
    if turn.question is not None and turn.question.question_id == question_id:
        return Verdict.OPEN
    return Verdict.LOCKED if question_id in asked else Verdict.NOT_OPEN


def item(question: Question) -> Item:
    """The question without its key."""
    return Item(
        question_id=question.id,
        position=question.position,
        question_type=question.kind,
        question_text=question.text,
        options=question.options,
    )


def _turn(sitting: Sitting, row: dict[str, Any]) -> Turn:
    done = _behind(sitting, row["position"]) - 1
    question = sitting.questions[row["question_id"]]
    return Turn(
        question=item(question), opens_at=row["opens_at"], closes_at=row["closes_at"], done=done, of=_of(sitting)
    )


def _given(sitting: Sitting, question: Question, at: int) -> dict[str, Any]:
    seconds = sitting.rules.seconds
    return {
        "position": question.position,
        "question": question.id,
        "opens_at": at,
        "closes_at": None if seconds is None else at + round(seconds * 1000),
    }


def _behind(sitting: Sitting, position: int) -> int:
    return sum(question.position <= position for question in sitting.questions.values())


def _of(sitting: Sitting) -> int:
    return len(sitting.questions)
