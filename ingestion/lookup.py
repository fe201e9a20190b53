"""What the record knows of the things that answers name: five short queries for a whole request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from core.postgres import Connection
from ingestion.scope import Caller


class Named(Protocol):
    """An answer, as far as it names things."""

    @property
    def question_id(self) -> int: ...
    @property
    def student_id(self) -> int: ...
    @property
    def session_id(self) -> int | None: ...
    @property
    def quiz_id(self) -> int | None: ...
    @property
    def classroom_id(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Student:
    """A student; `taught` says whether the asking teacher has him in a classroom."""

    school_id: int
    classroom_ids: tuple[int, ...]
    taught: bool


@dataclass(frozen=True, slots=True)
class Quiz:
    """A quiz in its newest version; no school: shared by all."""

    school_id: int | None
    classroom_id: int | None
    version: int


@dataclass(frozen=True, slots=True)
class Question:
    """What is needed to grade."""

    qtype: str
    options: list[Any]
    answer_key: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """A sitting of a quiz; without an id it has not been found or made yet."""

    id: int | None
    school_id: int
    classroom_id: int | None
    quiz_id: int
    quiz_version: int
    opened_at: datetime | None
    ended: bool = False
    live: bool = False


@dataclass(slots=True)
class Known:
    """All of it; `asked` holds (quiz, version, question), `classrooms` the school of each."""

    students: Mapping[int, Student]
    sessions: Mapping[int, Session]
    questions: Mapping[int, Question]
    asked: set[tuple[int, int, int]]
    quizzes: Mapping[int, Quiz]
    classrooms: Mapping[int, int]
    opened: dict[Session, Session] = field(default_factory=dict)


_STUDENTS = """
select u.id, u.school_id, coalesce(array_agg(e.classroom_id) filter (where e.classroom_id is not null), '{}') as rooms,
       coalesce(bool_or(c.teacher_id = %(caller)s or t.user_id is not null), false) as taught
from users u
left join enrolments e on e.user_id = u.id and e.role = 'student' and e.valid_from <= now()
                      and (e.valid_to is null or e.valid_to > now())
left join classrooms c on c.id = e.classroom_id
left join enrolments t on t.classroom_id = e.classroom_id and t.user_id = %(caller)s and t.role = 'teacher'
                      and t.valid_to is null
where u.id = any(%(ids)s) and u.role = 'student' group by u.id
"""
_SESSIONS = """
select id, school_id, classroom_id, quiz_id, quiz_version, opened_at, ended_at is not null as ended,
       mode = 'live' as live
from quiz_sessions where id = any(%s)
"""
_QUESTIONS = "select id, qtype, options, answer_key from questions where id = any(%s)"
_ASKED = "select quiz_id, quiz_version, question_id from quiz_questions where question_id = any(%s)"
_QUIZZES = "select id, school_id, classroom_id, quiz_version from quizzes where id = any(%s) and deleted_at is null"
_CLASSROOMS = "select id, school_id from classrooms where id = any(%s)"
_OPEN = """
insert into quiz_sessions (school_id, classroom_id, quiz_id, quiz_version, mode)
values (%(school)s, %(classroom)s, %(quiz)s, %(version)s, 'self_paced')
on conflict (quiz_id, quiz_version, school_id, coalesce(classroom_id, 0))
    where mode = 'self_paced' and ended_at is null do nothing
"""
_OPENED = """
select id, opened_at from quiz_sessions
where quiz_id = %(quiz)s and quiz_version = %(version)s and school_id = %(school)s
  and coalesce(classroom_id, 0) = coalesce(%(classroom)s, 0) and mode = 'self_paced' and ended_at is null
"""


async def look_up(connection: Connection, answers: Iterable[Named], caller: Caller) -> Known:
    """Everything that the answers name and that exists; whose it is, is for the caller of this to judge."""
    named = list(answers)

    async def rows(query: str, ids: Iterable[int | None], **more: Any) -> list[dict[str, Any]]:
        wanted = sorted({identifier for identifier in ids if identifier is not None})
        if not wanted:
            return []
        parameters = {"ids": wanted, **more} if more else (wanted,)
        return await (await connection.execute(query, parameters)).fetchall()

    students = await rows(_STUDENTS, (item.student_id for item in named), caller=caller.user_id)
    sessions = await rows(_SESSIONS, (item.session_id for item in named))
    questions = await rows(_QUESTIONS, (item.question_id for item in named))
    asked = await rows(_ASKED, (item.question_id for item in named))
    quiz_ids = [*(item.quiz_id for item in named), *(row["quiz_id"] for row in asked)]
    quizzes = await rows(_QUIZZES, quiz_ids)
    room_ids = [*(item.classroom_id for item in named), *(row["classroom_id"] for row in quizzes)]
    classrooms = await rows(_CLASSROOMS, room_ids)
    return Known(
        students={row["id"]: Student(row["school_id"], tuple(row["rooms"]), row["taught"]) for row in students},
        sessions={row["id"]: Session(**row) for row in sessions},
        questions={row["id"]: Question(row["qtype"], row["options"], row["answer_key"]) for row in questions},
        asked={(row["quiz_id"], row["quiz_version"], row["question_id"]) for row in asked},
        quizzes={row["id"]: Quiz(row["school_id"], row["classroom_id"], row["quiz_version"]) for row in quizzes},
        classrooms={row["id"]: row["school_id"] for row in classrooms},
    )


async def open_session(connection: Connection, wanted: Session, known: Known) -> Session:
    """The open self-paced session of that quiz, version, school and classroom; made when there is none."""
    if wanted not in known.opened:
        values = {
            "school": wanted.school_id,
            "classroom": wanted.classroom_id,
            "quiz": wanted.quiz_id,
            "version": wanted.quiz_version,
        }
        row = await (await connection.execute(_OPENED, values)).fetchone()
        if row is None:
            await connection.execute(_OPEN, values)
            row = await (await connection.execute(_OPENED, values)).fetchone()
        known.opened[wanted] = replace(wanted, **(row or {}))
    return known.opened[wanted]
