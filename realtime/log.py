"""The durable side of a live quiz: live_sessions (compare-and-set on version) and live_log (offsets 1, 2, 3 …).

A session's version is the offset of its last log row, so both change together or not at all.
What belongs to the school's record too (started, displayed, ended) is written by the chronicle in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from psycopg.errors import DivisionByZero, UniqueViolation

from core.errors import Conflict, InvalidField, NotFound
from core.postgres import Connection, Postgres
from realtime.protocol import LogFrame, Option, QuizEnded, QuizStarted, Rules, decode_log, encode
from realtime.session import Question, Sitting
from realtime.state import State, fold
from realtime.teams import deal

CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without the letters and digits that look alike."""

_SITTING = """
select s.id as session_id, s.school_id, s.classroom_id, s.quiz_id, s.quiz_version, s.opened_at, z.title,
       l.join_code, l.rules::text as rules
from quiz_sessions s join quizzes z on z.id = s.quiz_id join live_sessions l on l.session_id = s.id
where s.id = %(session)s"""
_QUESTIONS = """
select q.id, p.position, q.title as text, q.qtype as kind, q.options, q.answer_key
from quiz_questions p join questions q on q.id = p.question_id
where p.quiz_id = %(quiz)s and p.quiz_version = %(version)s order by p.position"""
_SINCE = "select frame::text as frame from live_log where session_id = %(session)s and off > %(off)s order by off"
_HEADS = "select session_id, version from live_sessions where session_id = any(%(sessions)s)"
# Where another command was first it divides by zero: then nothing of what was sent along is written either.
_APPEND = """
with swapped as (
    update live_sessions set version = %(after)s, state = %(state)s::jsonb, closes_at = %(closes_at)s
    where session_id = %(session)s and version = %(before)s returning session_id),
logged as (
    insert into live_log (session_id, off, frame) select session_id, off, frame::jsonb
    from swapped, unnest(%(offs)s::bigint[], %(frames)s::text[]) as f (off, frame)),
timed as (
    update quiz_sessions set started_at = coalesce(to_timestamp(%(started)s::bigint / 1000.0), started_at),
        ended_at = coalesce(greatest(started_at, to_timestamp(%(ended)s::bigint / 1000.0)), ended_at)
    where id = (select session_id from swapped)
      and (%(started)s::bigint is not null or %(ended)s::bigint is not null))
select 1 / count(*) from swapped"""
_QUIZ = """
select z.id, z.quiz_version from quizzes z
where z.id = %(quiz)s and (z.school_id is null or z.school_id = %(school)s) and z.deleted_at is null
  and exists (select from quiz_questions p where p.quiz_id = z.id and p.quiz_version = z.quiz_version)"""
_RUNNING = """
select s.id as session_id, l.join_code from quiz_sessions s join live_sessions l on l.session_id = s.id
where s.classroom_id = %(classroom)s and s.ended_at is null order by s.id desc limit 1"""
_OPEN_SITTING = """
insert into quiz_sessions (school_id, classroom_id, quiz_id, quiz_version, mode)
values (%(school)s, %(classroom)s, %(quiz)s, %(version)s, 'live') returning id"""
_OPEN_LIVE = """
insert into live_sessions (session_id, join_code, state, rules)
values (%(session)s, %(code)s, %(state)s::jsonb, %(rules)s::jsonb)"""
_PUPILS = """
select distinct user_id from enrolments
where classroom_id = %s and role = 'student' and valid_to is null and user_id is not null order by 1"""
_DEALT = """
insert into live_people (session_id, user_id, team)
select %(session)s, * from unnest(%(users)s::bigint[], %(teams)s::smallint[])"""
_OVERDUE = "select session_id from live_sessions where closes_at < %(at)s order by closes_at limit 100"


class Opened(msgspec.Struct, frozen=True):
    """A new room: its session and the code by which pupils find it."""

    session_id: int
    join_code: str


class Chronicle(Protocol):
    """Writes what the school's record should know of a room, in the transaction of the log."""

    async def make_room(self, postgres: Postgres, events: Sequence[LogFrame], /) -> None:
        """Before the first row of a month: make its partition, in a transaction of its own."""
        ...

    async def __call__(
        self, connection: Connection, sitting: Sitting, events: Sequence[LogFrame], actor: int | None, /
    ) -> None:
        """`actor`: the teacher who did it; None where time did."""
        ...


class SessionLog:
    """Reads and writes live sessions in Postgres."""

    def __init__(self, postgres: Postgres, chronicle: Chronicle | None = None) -> None:
        self._postgres = postgres
        self._chronicle = chronicle

    async def open(
        self,
        school_id: int,
        classroom_id: int,
        quiz_id: int,
        rules: Rules | None = None,
        chosen: Mapping[int, int] | None = None,
    ) -> Opened:
        """A new session in the lobby; raises Conflict while the classroom has another, NotFound without such a quiz,
        InvalidField where somebody is chosen for a team who is no pupil of the classroom."""
        rules = rules or Rules()
        async with self._postgres.transaction() as connection:
            await connection.execute("select from classrooms where id = %s for no key update", [classroom_id])
            await self._refuse_second(connection, classroom_id)
            quiz = await _one(connection, _QUIZ, quiz=quiz_id, school=school_id)
            if quiz is None:
                raise NotFound("No quiz with questions has this id.", code="no_questions", quiz_id=quiz_id)
            row = await _one(
                connection,
                _OPEN_SITTING,
                school=school_id,
                classroom=classroom_id,
                quiz=quiz_id,
                version=quiz["quiz_version"],
            )
            opened = await self._with_code(connection, (row or {})["id"], rules)
            if rules.teams:
                await _deal(connection, opened.session_id, classroom_id, len(rules.teams), chosen or {})
            return opened

    async def _refuse_second(self, connection: Connection, classroom_id: int) -> None:
        running = await _one(connection, _RUNNING, classroom=classroom_id)
        if running is not None:
            raise Conflict(
                "This classroom has a live quiz that has not ended.",
                hint="Join it, and end it first.",
                code="already_open",
                **running,
            )

    async def _with_code(self, connection: Connection, session_id: int, rules: Rules) -> Opened:
        fixed = {"session": session_id, "state": encode(State()), "rules": encode(rules)}
        for _ in range(5):
            code = "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
            try:
                async with connection.transaction():
                    await connection.execute(_OPEN_LIVE, fixed | {"code": code})
            except UniqueViolation:
                continue
            return Opened(session_id, code)
        raise Conflict("No free join code was found; try again.")

    async def sitting(self, session_id: int) -> Sitting:
        """What is fixed about the session, the questions with their keys included; raises NotFound."""
        row = await self._postgres.fetch_one(_SITTING, {"session": session_id})
        if row is None:
            raise NotFound("There is no such live quiz.")
        questions = await self._postgres.fetch(_QUESTIONS, {"quiz": row["quiz_id"], "version": row["quiz_version"]})
        rules = msgspec.json.decode(row.pop("rules"), type=Rules)
        return Sitting(questions={question["id"]: _question(question) for question in questions}, rules=rules, **row)

    async def since(self, session_id: int, off: int) -> list[LogFrame]:
        """The log after `off`, in order."""
        rows = await self._postgres.fetch(_SINCE, {"session": session_id, "off": off})
        return [decode_log(row["frame"]) for row in rows]

    async def heads(self, sessions: Sequence[int]) -> dict[int, int]:
        """The last offset of each session."""
        rows = await self._postgres.fetch(_HEADS, {"sessions": list(sessions)})
        return {row["session_id"]: row["version"] for row in rows}

    async def overdue(self, at: int) -> list[int]:
        """The sessions whose open question should have locked by itself before `at` (ms)."""
        return [row["session_id"] for row in await self._postgres.fetch(_OVERDUE, {"at": at})]

    async def append(
        self, sitting: Sitting, state: State, events: Sequence[LogFrame], actor: int | None = None
    ) -> bool:
        """Append events decided on `state`, all or none; False when another command was first."""
        values = _appended(sitting.session_id, state, events)
        if self._chronicle is not None:
            await self._chronicle.make_room(self._postgres, events)
        try:
            async with self._postgres.at_once() as connection:
                await connection.execute(_APPEND, values)
                if self._chronicle is not None:
                    await self._chronicle(connection, sitting, events, actor)
        except DivisionByZero:
            return False
        return True


def _appended(session_id: int, state: State, events: Sequence[LogFrame]) -> dict[str, Any]:
    after = fold(events, state)
    return {
        "session": session_id,
        "before": state.off,
        "after": after.off,
        "state": encode(after),
        "closes_at": after.closes_at,
        "offs": [event.off for event in events],
        "frames": [encode(event) for event in events],
        "started": next((event.at for event in events if isinstance(event, QuizStarted)), None),
        "ended": next((event.at for event in events if isinstance(event, QuizEnded)), None),
    }


async def _deal(
    connection: Connection, session_id: int, classroom_id: int, teams: int, chosen: Mapping[int, int]
) -> None:
    """Everybody of the classroom gets his team."""
    cursor = await connection.execute(_PUPILS, [classroom_id])
    pupils = [row["user_id"] for row in await cursor.fetchall()]
    if strangers := sorted(chosen.keys() - set(pupils)):
        raise InvalidField("Only pupils of the classroom play in its teams.", field="teams", user_ids=strangers)
    secrets.SystemRandom().shuffle(pupils)
    dealt = deal(pupils, chosen, teams)
    await connection.execute(
        _DEALT, {"session": session_id, "users": list(dealt.keys()), "teams": list(dealt.values())}
    )


async def _one(connection: Connection, query: str, **parameters: Any) -> dict[str, Any] | None:
    cursor = await connection.execute(query, parameters)
    return await cursor.fetchone()


def _question(row: dict[str, Any]) -> Question:
    return Question(options=tuple(map(_option, row.pop("options"))), **row)


def _option(stored: Any) -> Option:
    """The key and the text alone; an option may be stored as a bare text, which is then its key too."""
    if isinstance(stored, dict):
        return Option(str(stored.get("key")), str(stored.get("text") or ""))
    return Option(str(stored), str(stored))
