"""Answers that may still be changed (`rules.changes`): kept in live_answers until their question locks, then facts.

A change takes a share of the session's row, which the lock updates: so an answer is either written before the lock,
and settled with all others, or refused. Settling is done by whichever node comes first and may be repeated: a
response's id is made from session, question, pupil and run, so a second try finds the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from core.postgres import Connection, Postgres
from realtime.grading import Graded, Outcome
from realtime.pacing import Shared

_OPEN = """
select session_id, (state ->> 'question_id')::bigint as question_id,
       (state #>> array['rounds', state ->> 'question_id', 'run'])::int as run
from live_sessions where session_id = any(%s) and state ->> 'phase' = 'question' order by 1 for share"""
_PUT = """
insert into live_answers (session_id, question_id, run, student_id, choice, correct, score, time_spent_ms,
                          submitted_at, client_id)
values (%(session_id)s, %(question_id)s, %(run)s, %(student_id)s, %(choice)s, %(correct)s, %(score)s,
        %(time_spent_ms)s, %(submitted_at)s, %(client_id)s)
on conflict (session_id, question_id, run, student_id) do update
set choice = excluded.choice, correct = excluded.correct, score = excluded.score,
    time_spent_ms = excluded.time_spent_ms, submitted_at = excluded.submitted_at, client_id = excluded.client_id,
    changes = live_answers.changes + 1
where excluded.submitted_at >= live_answers.submitted_at
  and (live_answers.choice, live_answers.client_id) is distinct from (excluded.choice, excluded.client_id)
returning changes"""
_CLOSED = """
select a.*, q.school_id, q.classroom_id, q.quiz_id, q.quiz_version, q.opened_at,
       coalesce((l.state #>> array['rounds', a.question_id::text, 'run'])::int = a.run
                and l.state #>> array['rounds', a.question_id::text, 'phase'] <> 'skipped', false) as counts
from live_answers a join live_sessions l using (session_id) join quiz_sessions q on q.id = a.session_id
where a.set_aside_at is null and (%(sessions)s::bigint[] is null or a.session_id = any(%(sessions)s))
  and (l.state #>> array['rounds', a.question_id::text, 'run'])::int is not null
  and ((l.state #>> array['rounds', a.question_id::text, 'run'])::int <> a.run
       or l.state #>> array['rounds', a.question_id::text, 'phase'] not in ('question', 'paused'))
order by a.session_id, a.question_id, a.run, a.student_id limit 5000 for update of a skip locked"""
_KEY = "session_id = %(session_id)s and question_id = %(question_id)s and run = %(run)s and student_id = %(student_id)s"
_DONE = f"delete from live_answers where {_KEY}"
_ASIDE = f"update live_answers set set_aside_at = clock_timestamp() where {_KEY}"
_FIELDS = (
    "school_id", "classroom_id", "session_id", "quiz_id", "quiz_version", "opened_at", "question_id", "run",
    "student_id", "choice", "correct", "score", "time_spent_ms", "submitted_at", "client_id",
)  # fmt: skip
Keep: TypeAlias = Callable[[Sequence[Graded]], Awaitable[list[Outcome]]]
_Waiting: TypeAlias = tuple[Graded, asyncio.Future[Outcome]]


class Provisional:
    """Writes changeable answers, many in one transaction, and settles them."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._waiting: list[_Waiting] = []
        self._flush = Shared(self._write)

    async def put(self, answer: Graded) -> Outcome:
        """Keep the answer, or the change; returns after the commit. LOCKED: it came too late and is not kept."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, done))
        await self._flush()
        return done.result()

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        async with self._postgres.transaction() as connection:
            outcomes = await _put(connection, [answer for answer, _ in waiting])
        for (_, done), outcome in zip(waiting, outcomes, strict=True):
            if not done.done():
                done.set_result(outcome)

    async def settle(self, keep: Keep, sessions: Iterable[int] | None = None) -> int:
        """Make facts of the answers whose question has locked, set aside those that count no more; how many."""
        async with self._postgres.transaction() as connection:
            wanted = None if sessions is None else list(sessions)
            rows = await (await connection.execute(_CLOSED, {"sessions": wanted})).fetchall()
            facts = [row for row in rows if row["counts"]]
            if facts:
                await keep([_graded(row) for row in facts])
            async with connection.cursor() as cursor:
                await cursor.executemany(_DONE, facts)
                await cursor.executemany(_ASIDE, [row for row in rows if not row["counts"]])
        return len(rows)


async def _put(connection: Connection, answers: Sequence[Graded]) -> list[Outcome]:
    rows = await (await connection.execute(_OPEN, [sorted({a.session_id for a in answers})])).fetchall()
    running = {row["session_id"]: (row["question_id"], row["run"]) for row in rows}
    outcomes = []
    for answer in answers:
        if running.get(answer.session_id) != (answer.question_id, answer.run):
            outcomes.append(Outcome.LOCKED)
            continue
        row = await (await connection.execute(_PUT, _values(answer))).fetchone()
        outcomes.append(_outcome(None if row is None else row["changes"]))
    return outcomes


def _outcome(changes: int | None) -> Outcome:
    if changes is None:
        return Outcome.DUPLICATE
    return Outcome.CHANGED if changes else Outcome.ACCEPTED


def _values(answer: Graded) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in _FIELDS}


def _graded(row: dict[str, Any]) -> Graded:
    return Graded(**{name: row[name] for name in _FIELDS})
