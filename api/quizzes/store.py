"""Quizzes in the record.

A quiz is seen by its school's admins, its maker, its classroom; without a classroom, by those whom its maker teaches
and, if an admin made it, by every member of a classroom; a quiz without a school by all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from api.fields import Paging
from api.quizzes.questions import Prepared
from api.sql import counted, written
from core.postgres import Connection, Postgres

WITHIN = """
(%(operator)s or q.school_id is null or q.school_id = %(my_school)s and (
    %(whole)s or q.created_by = %(my_user)s or q.classroom_id = any(%(my_classrooms)s)
    or q.classroom_id is null and cardinality(%(my_classrooms)s::bigint[]) > 0 and (
        exists (select 1 from users u where u.id = q.created_by and u.role = 'admin')
        or exists (select 1 from classrooms c where c.teacher_id = q.created_by and c.id = any(%(my_classrooms)s)))))
"""
SEES = f"q.deleted_at is null and {WITHIN}"
_MEASURED = f"""
select 1 from quizzes q where q.id = %(id)s and ({WITHIN} or exists (
    select 1 from quiz_sessions s where s.quiz_id = q.id and s.classroom_id = any(%(my_classrooms)s)))
"""
_MATCHES = """
(%(classroom_id)s::bigint is null or q.classroom_id = %(classroom_id)s)
and (%(subject)s::text is null or q.subject = %(subject)s)
and (%(school_id)s::bigint is null or q.school_id = %(school_id)s)
"""
_HEAD = """
q.id, q.school_id, q.classroom_id, q.title, q.subject, q.created_by, q.quiz_version, q.created_at,
(select count(*) from quiz_questions a where a.quiz_id = q.id and a.quiz_version = q.quiz_version) as question_count
"""
_LIST = f"""
select {_HEAD} from quizzes q where {SEES} and {_MATCHES} order by q.id desc limit %(limit)s offset %(offset)s"""
_COUNT = f"select count(*) as n from quizzes q where {SEES} and {_MATCHES}"
_ONE = f"select {_HEAD} from quizzes q where q.id = %(id)s and {SEES}"
_QUESTIONS = """
select n.id, a.position, n.title, n.qtype, n.options, n.answer_key, n.max_score, n.skills
from quiz_questions a join questions n on n.id = a.question_id
where a.quiz_id = %(quiz_id)s and a.quiz_version = %(quiz_version)s order by a.position
"""
_KNOWN = """
select distinct n.id, n.title, n.qtype, n.options, n.answer_key, n.max_score, n.skills
from quiz_questions a join questions n on n.id = a.question_id where a.quiz_id = %(quiz_id)s
"""
_INSERT_QUIZ = """
insert into quizzes (school_id, classroom_id, title, subject, created_by)
values (%(school_id)s, %(classroom_id)s, %(title)s, %(subject)s, %(created_by)s)
returning id, school_id, classroom_id, title, subject, created_by, quiz_version, created_at
"""
_INSERT_QUESTION = """
insert into questions (school_id, title, qtype, options, answer_key, max_score, skills)
values (%(school_id)s, %(title)s, %(qtype)s, %(options)s, %(answer_key)s, %(max_score)s, %(skills)s) returning id
"""
_ASK = """
insert into quiz_questions (quiz_id, quiz_version, position, question_id)
values (%(quiz_id)s, %(quiz_version)s, %(position)s, %(question_id)s)
"""
_NEXT_VERSION = """
update quizzes set title = %(title)s, subject = %(subject)s, quiz_version = quiz_version + 1
where id = %(id)s and deleted_at is null
returning id, school_id, classroom_id, title, subject, created_by, quiz_version, created_at
"""
_END_SITTINGS = """
update quiz_sessions set ended_at = now()
where quiz_id = %(id)s and mode = 'self_paced' and ended_at is null
"""
_DELETE = "update quizzes set deleted_at = now() where id = %(id)s and deleted_at is null"


async def page(
    postgres: Postgres, scope: dict[str, Any], paging: Paging, **wanted: Any
) -> tuple[list[dict[str, Any]], int]:
    """The newest quizzes first."""
    values = scope | paging.limit | wanted
    return await postgres.fetch(_LIST, values), await counted(postgres, _COUNT, values)


async def one(postgres: Postgres, scope: dict[str, Any], quiz_id: int) -> dict[str, Any] | None:
    """A quiz that the caller sees."""
    return await postgres.fetch_one(_ONE, scope | {"id": quiz_id})


async def measured(postgres: Postgres, scope: dict[str, Any], quiz_id: int) -> bool:
    """Whether the numbers of a quiz are the caller's to see: he saw it, deleted or not, or a class of his took it."""
    return await postgres.fetch_one(_MEASURED, scope | {"id": quiz_id}) is not None


async def asked(postgres: Postgres, quiz_id: int, quiz_version: int) -> list[dict[str, Any]]:
    """The questions of one version, in order."""
    return await postgres.fetch(_QUESTIONS, {"quiz_id": quiz_id, "quiz_version": quiz_version})


async def known(connection: Connection, quiz_id: int) -> dict[int, dict[str, Any]]:
    """Every question that the quiz ever asked, by id."""
    cursor = await connection.execute(_KNOWN, {"quiz_id": quiz_id})
    return {row["id"]: row for row in await cursor.fetchall()}


async def insert_quiz(connection: Connection, **values: Any) -> dict[str, Any]:
    """A new quiz, version 1, without questions yet."""
    return await written(connection, _INSERT_QUIZ, values)


async def next_version(connection: Connection, quiz_id: int, title: str, subject: str | None) -> dict[str, Any]:
    """The quiz in its next version, locked, without questions yet; sittings of the old version go on."""
    return await written(connection, _NEXT_VERSION, {"id": quiz_id, "title": title, "subject": subject})


async def ask(connection: Connection, quiz: dict[str, Any], questions: Sequence[Prepared | int]) -> list[int]:
    """Write the questions of a version in order; a number is a question that is there already."""
    ids = []
    for position, question in enumerate(questions, 1):
        if isinstance(question, Prepared):
            values = question.columns | {"school_id": quiz["school_id"], "options": Jsonb(list(question.options))}
            question_id = int((await written(connection, _INSERT_QUESTION, values))["id"])
        else:
            question_id = question
        place = {"quiz_id": quiz["id"], "quiz_version": quiz["quiz_version"]}
        await connection.execute(_ASK, place | {"position": position, "question_id": question_id})
        ids.append(question_id)
    return ids


async def delete(connection: Connection, quiz_id: int) -> None:
    """Mark as deleted; what was answered stays."""
    await connection.execute(_DELETE, {"id": quiz_id})
    await connection.execute(_END_SITTINGS, {"id": quiz_id})
