"""Answers are graded anew with the question's key of now: in the record, then in ClickHouse.

The mark is a function of what was chosen, so ClickHouse is told for each choice its mark; saying it twice is harmless,
and rows that are brought later are right already. What stands as a sum only (`quiz_results`) stays.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from core.clock import now
from ingestion.amendments import warehouse as store
from ingestion.amendments.erasure import digest
from ingestion.amendments.grades import Asked, Group, Mark, Tally, changes, pieces, tally
from ingestion.amendments.queue import Amendment, finish, has_settled, move
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint
from ingestion.term import Term

# The ids of a session's answers begin with the milliseconds of its opening: they lie side by side in one partition.
ANSWERS = """
quiz_sessions s cross join lateral (
    select r.* from responses r
    where r.session_id = s.id and r.question_id = %(question)s
      and r.response_id >= first_of(s.opened_at) and r.response_id < last_of(s.opened_at)) r
where s.quiz_id in (select quiz_id from quiz_questions where question_id = %(question)s)
"""
GROUPS = f"""
select r.choice, r.correct, r.score, s.mode = 'imported' as imported, count(*) as answers
from {ANSWERS} group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
QUESTION = "select qtype, options, answer_key from questions where id = %(question)s"
_ALLOW = "select set_config('eduanalytics.amending', 'regrade', true)"
_MARK = f"""
with hit as materialized (
    select r.response_id, m.correct, m.score
    from (select s.mode, r.* from {ANSWERS}) r
    join jsonb_to_recordset(%(marks)s) as m (choice text, imported boolean, correct boolean, score double precision)
      on m.choice is not distinct from r.choice and m.imported = (r.mode = 'imported')
    where (r.correct, r.score) is distinct from (m.correct, m.score))
update responses r set correct = hit.correct, score = hit.score from hit where r.response_id = hit.response_id
"""
_BLANK_SESSIONS = f"select distinct s.id from {ANSWERS} and r.choice is null and s.mode <> 'imported'"
# A live room keeps the keys that it began with.
_ROOMS = """
select 1 as n from quiz_sessions where mode = 'live' and ended_at is null and started_at < %(asked_at)s
  and opened_at > %(asked_at)s - interval '1 day'
  and quiz_id in (select quiz_id from quiz_questions where question_id = %(question)s) limit 1
"""
_QUIZZES = "select distinct quiz_id from quiz_questions where question_id = %(question)s"


def mark_record(term: Term, amendment: Amendment) -> None:
    """New marks in the record: all answers to the question in one transaction."""
    connection, values = term.connection, {"question": amendment.subject}
    with connection.transaction():
        asked = Asked(**connection.execute(QUESTION + " for share", values).fetchall()[0])
        groups = read_groups(connection, amendment.subject)
        changed = changes(asked, groups)
        if changed:
            connection.execute(_ALLOW)
            connection.execute(_MARK, values | {"marks": Jsonb([_told(group, new) for group, new in changed])})
        counts = _added(amendment.work.get("tally"), tally(asked, groups))
        work = {"tally": counts, "key": asked.answer_key, **_marks(connection, values, changed, amendment.work)}
        late = amendment.state == "settling" and not changed
        move(connection, amendment, "settling" if late else "sending", work)
        failpoint("marking")
    failpoint("marked")


def mark_warehouse(term: Term, amendment: Amendment) -> None:
    """New marks in ClickHouse: one mutation, seen by readers as a whole."""
    quizzes = [row["quiz_id"] for row in term.connection.execute(_QUIZZES, {"question": amendment.subject}).fetchall()]
    place = {"question": amendment.subject, "quizzes": quizzes}
    where = "question_id = {question:Int64} AND has({quizzes:Array(Int64)}, quiz_id)"
    for piece in pieces({choice: (new[0], new[1]) for choice, new in amendment.work["marks"].items()}):
        _mutate(term, piece, where, place)
    if blank := amendment.work["blank"]:
        values = {**place, "sessions": blank["sessions"]}
        condition = f"{where} AND isNull(choice) AND has({{sessions:Array(Int64)}}, session_id)"
        changes = f"correct = {_bool(blank['mark'][0])}, score = {_float(blank['mark'][1])}"
        store.update(term.warehouse, "responses", changes, condition, values)
    term.batches += 1
    failpoint("sent")
    move(term.connection, amendment, "settling", {**amendment.work, "marks": {}, "blank": None})


def settle(term: Term, amendment: Amendment) -> None:
    """What was graded with the old key and came in late, or in a room that was open, is marked too; then it is done."""
    values = {"question": amendment.subject, "asked_at": amendment.asked_at}
    if not has_settled(term.connection, amendment) or term.connection.execute(_ROOMS, values).fetchone():
        return
    mark_record(term, amendment)
    late = term.connection.execute("select state, work from amendments where id = %s", (amendment.id,)).fetchall()[0]
    if late["state"] == "settling" and store.are_written(term.warehouse, ["responses"]):
        at = now()
        result = {
            "amendment": amendment.id,
            "question": amendment.subject,
            "key": late["work"]["key"],
            "finished_at": at.isoformat(),
            **late["work"]["tally"],
        }
        with term.connection.transaction():
            finish(term.connection, amendment, result, digest(result), at)


def read_groups(connection: Blocking, question: int) -> list[Group]:
    """The answers to a question, by what was chosen and how it is marked."""
    return [Group(**row) for row in connection.execute(GROUPS, {"question": question}).fetchall()]


def _told(group: Group, new: Mark) -> dict[str, Any]:
    return {"choice": group.choice, "imported": group.imported, "correct": new[0], "score": new[1]}


def _added(old: dict[str, int] | None, new: Tally) -> dict[str, int]:
    """The sum of both runs; of all answers and of those that cannot be graded the last word counts."""
    found = asdict(new)
    whole = ("answers", "ungradable")
    return {name: n if name in whole else n + (old or {}).get(name, 0) for name, n in found.items()}


def _marks(
    connection: Blocking, values: dict[str, Any], changed: list[tuple[Group, Mark]], work: dict[str, Any]
) -> dict[str, Any]:
    """What ClickHouse is to be told: a mark for each choice, and one for no choice at all."""
    marks = work.get("marks", {}) | {group.choice: new for group, new in changed if group.choice is not None}
    blank = next((new for group, new in changed if group.choice is None), None)
    if blank is None:
        return {"marks": marks, "blank": work.get("blank")}
    sessions = [row["id"] for row in connection.execute(_BLANK_SESSIONS, values).fetchall()]
    return {"marks": marks, "blank": {"mark": blank, "sessions": sessions}}


def _mutate(term: Term, piece: list[tuple[Mark, list[str]]], where: str, place: dict[str, Any]) -> None:
    values = {**place, **{f"c{number}": choices for number, (_, choices) in enumerate(piece)}}
    tests = [f"has({{c{number}:Array(String)}}, choice)" for number in range(len(piece))]
    correct = ", ".join(f"{test}, {_bool(new[0])}" for test, (new, _) in zip(tests, piece, strict=True))
    score = ", ".join(f"{test}, {_float(new[1])}" for test, (new, _) in zip(tests, piece, strict=True))
    changes = f"correct = multiIf({correct}, correct), score = multiIf({score}, score)"
    store.update(term.warehouse, "responses", changes, f"{where} AND ({' OR '.join(tests)})", values)


def _bool(value: bool | None) -> str:
    return f"CAST({'NULL' if value is None else str(value).lower()} AS Nullable(Bool))"


def _float(value: float | None) -> str:
    return f"CAST({'NULL' if value is None else repr(float(value))} AS Nullable(Float64))"
