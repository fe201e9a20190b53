"""Answers of a room as the record has them: kept ones (`responses`), and those that may still be changed.

All responses of a session share the first 48 bits of their id (the session's opened_at), so they are one index range.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core.clock import epoch_ms
from core.postgres import Postgres
from realtime.ballots import Ballots, Chosen
from realtime.scoring import Scored
from realtime.session import Sitting, Tally

_IN_RANGE = "response_id >= %(first)s and response_id < %(last)s and session_id = %(session)s"
_ENROLLED = """
select count(*) as enrolled from enrolments
where classroom_id = %(classroom)s and role = 'student' and valid_to is null"""
_CHOSEN = f"""
select student_id, choice, correct from live_answers
where session_id = %(session)s and question_id = %(question)s and run = %(run)s and set_aside_at is null
union all
select student_id, choice, correct from responses
where {_IN_RANGE} and question_id = %(question)s and attempt_number = %(run)s"""
_SCORED = f"""
select student_id, question_id, run, score, time_spent_ms as time_ms, correct from live_answers
where session_id = %(session)s and set_aside_at is null
union all
select student_id, question_id, attempt_number, score, coalesce(time_spent_ms, 0), correct from responses
where {_IN_RANGE}"""
_OWN = f"""
select question_id, run, choice from live_answers
where session_id = %(session)s and student_id = %(student)s and set_aside_at is null
union all
select question_id, attempt_number, choice from responses where {_IN_RANGE} and student_id = %(student)s"""
_PROGRESS = f"""
select student_id, count(distinct question_id) as done from responses where {_IN_RANGE} group by 1"""


class Answers:
    """Reads the answers of live sessions."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def fill(self, sitting: Sitting, ballots: Ballots) -> None:
        """The answers to one run of a question, and how many pupils are enrolled."""
        wanted = _range(sitting) | {"question": ballots.question_id, "run": ballots.run}
        rows = await self._postgres.fetch(_CHOSEN, wanted)
        enrolled = await self._postgres.fetch_one(_ENROLLED, {"classroom": sitting.classroom_id})
        chosen = {row["student_id"]: Chosen((row["choice"] or "")[:100], row["correct"]) for row in rows}
        ballots.fill(chosen, (enrolled or {"enrolled": 0})["enrolled"])

    async def tally(self, sitting: Sitting, question_id: int, run: int) -> Tally:
        """How the answers to one run of a question are spread."""
        ballots = Ballots(question_id, run)
        await self.fill(sitting, ballots)
        return Tally(ballots.counts(), len(ballots.chosen), ballots.of)

    async def scored(self, sitting: Sitting) -> list[Scored]:
        """Every answer of the session, each once."""
        rows = await self._postgres.fetch(_SCORED, _range(sitting))
        found = {(row["student_id"], row["question_id"], row["run"]): Scored(**row) for row in rows}
        return list(found.values())

    async def own(self, sitting: Sitting, student_id: int) -> dict[int, tuple[int, str]]:
        """What a pupil has answered: question → its newest run that he answered, and his choice."""
        rows = await self._postgres.fetch(_OWN, _range(sitting) | {"student": student_id})
        ordered = sorted(rows, key=lambda row: row["run"])
        return {row["question_id"]: (row["run"], row["choice"] or "") for row in ordered}

    async def progress(self, sitting: Sitting) -> dict[int, int]:
        """Student → how many questions he has answered."""
        rows = await self._postgres.fetch(_PROGRESS, _range(sitting))
        return {row["student_id"]: row["done"] for row in rows}


def _range(sitting: Sitting) -> dict[str, Any]:
    first = epoch_ms(sitting.opened_at) << 80
    return {"session": sitting.session_id, "first": UUID(int=first), "last": UUID(int=first + (1 << 80))}
