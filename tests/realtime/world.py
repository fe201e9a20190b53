"""A small school in a real Postgres: two classrooms, their teachers and pupils, one quiz."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.auth.tokens import Tokens
from api.principal import Identities, Principal
from core.postgres import Postgres
from ingestion.partitions import ensure_ahead

TOKENS = Tokens(b"the tests' own secret, 32 bytes.", timedelta(minutes=5))
KEYS = ("B", "true", "42")


@dataclass(frozen=True)
class World:
    """Ids of what was made; `pupils` and `teacher` belong to `classroom`."""

    school: int
    classroom: int
    other_classroom: int
    teacher: int
    co_teacher: int
    other_teacher: int
    admin: int
    foreign_admin: int
    pupils: tuple[int, ...]
    outsider: int
    quiz: int
    questions: tuple[int, ...]


def token(user_id: int, role: str, school_id: int | None, minutes: float = 5) -> str:
    """A real access token."""
    principal = Principal(role=role, user_id=user_id, school_id=school_id)
    return TOKENS.issue(principal, timedelta(minutes=minutes))


class Authenticator:
    """The product's own check of a token: signature, expiry and the record's word."""

    def __init__(self, postgres: Postgres) -> None:
        self._identities = Identities(postgres)

    async def __call__(self, text: str) -> Principal:
        """The principal; raises Unauthenticated."""
        principal = TOKENS.verify(text)
        await self._identities.confirm(principal)
        return principal


async def build_world(postgres: Postgres, pupils: int = 3, more_questions: int = 0) -> World:
    """Make the school; `more_questions` are like the first."""
    async with postgres.transaction() as connection:
        await ensure_ahead(connection, 1)

    async def add(table: str, **values: Any) -> int:
        columns = ", ".join(values)
        places = ", ".join(f"%({name})s" for name in values)
        row = await postgres.fetch_one(f"insert into {table} ({columns}) values ({places}) returning id", values)
        assert row is not None
        return int(row["id"])

    school = await add("schools", name="Hillside")
    foreign = await add("schools", name="Riverside")

    async def person(role: str, name: str, of: int = school) -> int:
        return await add("users", school_id=of, role=role, name=name)

    teacher, co_teacher, other_teacher = [await person("teacher", name) for name in ("Tess", "Theo", "Otto")]
    classroom = await add("classrooms", school_id=school, teacher_id=teacher, name="7a")
    other_classroom = await add("classrooms", school_id=school, teacher_id=other_teacher, name="7b")
    ids = [await person("student", f"Pupil {number:03}") for number in range(pupils)]
    for pupil in ids:
        await add("enrolments", school_id=school, classroom_id=classroom, user_id=pupil)
    await add("enrolments", school_id=school, classroom_id=classroom, user_id=co_teacher, role="teacher")
    outsider = await person("student", "Outsider")
    await add("enrolments", school_id=school, classroom_id=other_classroom, user_id=outsider)
    quiz = await add("quizzes", school_id=school, classroom_id=classroom, title="Numbers")
    return World(
        school=school,
        classroom=classroom,
        other_classroom=other_classroom,
        teacher=teacher,
        co_teacher=co_teacher,
        other_teacher=other_teacher,
        admin=await person("admin", "Ada"),
        foreign_admin=await person("admin", "Fay", foreign),
        pupils=tuple(ids),
        outsider=outsider,
        quiz=quiz,
        questions=await _questions(postgres, school, quiz, more_questions),
    )


async def _questions(postgres: Postgres, school: int, quiz: int, more: int) -> tuple[int, ...]:
    options = '[{"key":"A","text":"three","score":0.25},{"key":"B","text":"four"},{"key":"C","text":"five"}]'
    rows = [
        ("2 + 2 = ?", "single_choice", options, KEYS[0]),
        ("Is 7 prime?", "true_false", "[]", KEYS[1]),
        ("6 x 7 = ?", "numeric", "[]", KEYS[2]),
    ]
    rows[1:1] = rows[:1] * more
    ids = []
    for position, (title, kind, choices, key) in enumerate(rows, start=1):
        row = await postgres.fetch_one(
            "insert into questions (school_id, title, qtype, options, answer_key)"
            " values (%s, %s, %s, %s::jsonb, %s) returning id",
            [school, title, kind, choices, key],
        )
        assert row is not None
        ids.append(int(row["id"]))
        await postgres.fetch(
            "insert into quiz_questions (quiz_id, quiz_version, position, question_id) values (%s, 1, %s, %s)",
            [quiz, position, row["id"]],
        )
    return tuple(ids)
