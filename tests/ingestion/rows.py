"""Rows for the tests: a small school in the record, and events and answers by the shortest way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.clock import now
from core.ids import derived_id, new_id
from core.postgres import Postgres
from ingestion.partitions import ensure_ahead


async def make_school(postgres: Postgres, name: str = "Hill School") -> dict[str, int]:
    """A school with a teacher, two students, a classroom and a quiz of three questions; their ids."""
    async with postgres.transaction() as connection:

        async def insert(table: str, **values: Any) -> int:
            names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
            cursor = await connection.execute(f"insert into {table} ({names}) values ({marks}) returning id", values)
            return int((await cursor.fetchall())[0]["id"])

        school = await insert("schools", name=name)
        people = {
            key: await insert("users", school_id=school, role=role, name=key)
            for key, role in [("teacher", "teacher"), ("ann", "student"), ("ben", "student")]
        }
        classroom = await insert("classrooms", school_id=school, teacher_id=people["teacher"], name="7b")
        for key in ("ann", "ben"):
            await insert("enrolments", school_id=school, classroom_id=classroom, user_id=people[key])
        quiz = await insert("quizzes", school_id=school, classroom_id=classroom, title="Fractions")
        options = '[{"key": "A", "text": "1/2"}, {"key": "B", "text": "1/3"}, {"key": "C", "text": "1/4"}]'
        questions = {}
        for position, (key, kind, given, answer) in enumerate(
            [("single", "single_choice", options, "B"), ("several", "multiple_select", options, "A,C"),
             ("number", "numeric", "[]", "3.14±0.01"), ("essay", "free_text", "[]", None)], 1
        ):  # fmt: skip
            questions[key] = await insert(
                "questions", school_id=school, title=key, qtype=kind, options=given, answer_key=answer
            )
            await insert("quiz_questions", quiz_id=quiz, quiz_version=1, position=position, question_id=questions[key])
    return {"school": school, "classroom": classroom, "quiz": quiz, **people, **questions}


async def months(postgres: Postgres) -> None:
    """The partitions of the months that a test may write to."""
    async with postgres.transaction() as connection:
        await ensure_ahead(connection)


INSERT_EVENT = """
insert into events (event_id, school_id, event_name, occurred_at, props)
values (%(event_id)s, %(school_id)s, 'content_viewed', %(occurred_at)s, '{}')
"""


def event(number: int | None = None, school_id: int = 1, occurred_at: datetime | None = None) -> dict[str, Any]:
    """The parameters of INSERT_EVENT."""
    moment = occurred_at or now()
    identifier = new_id() if number is None else derived_id(moment, school_id, number)
    return {"event_id": identifier, "school_id": school_id, "occurred_at": moment}
