"""Answers in the record: what the caller may answer, and the answers that he may see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from api.fields import Paging
from api.quizzes.store import SEES as SEES_QUIZ
from api.sql import counted
from core.postgres import Postgres

_QUIZZES = f"""
select q.id, a.question_id,
       exists (select 1 from quiz_sessions s where s.quiz_id = q.id and s.mode = 'live' and s.ended_at is null) as live
from quizzes q left join quiz_questions a
  on a.quiz_id = q.id and a.quiz_version = q.quiz_version and a.question_id = any(%(question_ids)s)
where {SEES_QUIZ} and (q.id = any(%(quiz_ids)s) or a.question_id is not null)
"""
_SESSIONS = """
select s.id, s.mode from quiz_sessions s
where s.id = any(%(session_ids)s) and (%(operator)s or s.school_id = %(my_school)s
    and (%(whole)s or s.classroom_id is null or s.classroom_id = any(%(my_classrooms)s)))
"""
_SEES = """
(%(operator)s or r.school_id = %(my_school)s and (%(whole)s or r.student_id = %(my_user)s
    or %(my_role)s = 'teacher' and r.classroom_id = any(%(my_classrooms)s)))
"""
_MATCHES = """
(%(student_id)s::bigint is null or r.student_id = %(student_id)s)
and (%(quiz_id)s::bigint is null or r.quiz_id = %(quiz_id)s)
and (%(classroom_id)s::bigint is null or r.classroom_id = %(classroom_id)s)
and (%(session_id)s::bigint is null or r.session_id = %(session_id)s)
and (%(question_id)s::bigint is null or r.question_id = %(question_id)s)
"""
# While a quiz is played live, a student must not learn from his answers which are right.
_HIDDEN = """
(%(my_role)s = 'student' and exists (
    select 1 from quiz_sessions s where s.quiz_id = r.quiz_id and s.mode = 'live' and s.ended_at is null))
"""
_LIST = f"""
select r.response_id as id, r.school_id, r.classroom_id, r.session_id, r.quiz_id, r.quiz_version, r.question_id,
       r.student_id, r.attempt_number, r.choice as answer, r.time_spent_ms / 1000.0 as time_spent, r.submitted_at,
       case when not {_HIDDEN} then r.correct end as correct, case when not {_HIDDEN} then r.score end as score
from responses r where {_SEES} and {_MATCHES} order by r.xid desc, r.seq desc limit %(limit)s offset %(offset)s
"""
_COUNT = f"select count(*) as n from responses r where {_SEES} and {_MATCHES}"


@dataclass(frozen=True)
class Answerable:
    """What the caller may answer: quizzes (and which are played live now), who asks a question, sessions by mode."""

    quizzes: frozenset[int]
    live_quizzes: frozenset[int]
    asking: dict[int, set[int]]
    sessions: dict[int, str]


async def answerable(
    postgres: Postgres,
    scope: dict[str, Any],
    quiz_ids: Iterable[int],
    question_ids: Iterable[int],
    session_ids: Iterable[int],
) -> Answerable:
    """Those of the named things that the caller sees."""
    named = {"quiz_ids": list(quiz_ids), "question_ids": list(question_ids), "session_ids": list(session_ids)}
    rows = await postgres.fetch(_QUIZZES, scope | named)
    asking: dict[int, set[int]] = {}
    for row in rows:
        if row["question_id"] is not None:
            asking.setdefault(row["question_id"], set()).add(row["id"])
    sessions = await postgres.fetch(_SESSIONS, scope | named) if named["session_ids"] else []
    return Answerable(
        frozenset(row["id"] for row in rows),
        frozenset(row["id"] for row in rows if row["live"]),
        asking,
        {row["id"]: row["mode"] for row in sessions},
    )


async def page(
    postgres: Postgres, scope: dict[str, Any], paging: Paging, **wanted: Any
) -> tuple[list[dict[str, Any]], int]:
    """The newest answers first, and how many there are."""
    values = scope | paging.limit | wanted
    return await postgres.fetch(_LIST, values), await counted(postgres, _COUNT, values)
