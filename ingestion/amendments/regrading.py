"""Answers are graded anew with the question's key of now: in the record, then in ClickHouse.

The mark is a function of what was chosen, so ClickHouse is told for each choice its mark; saying it twice is harmless,
and rows that are brought later are right already. What stands as a sum only (`quiz_results`) stays.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from core.clock import now
from ingestion.amendments import warehouse as store
from ingestion.amendments.erasure import digest
from ingestion.amendments.grades import Asked, Group, Mark, changes, pieces, tally
from ingestion.amendments.queue import Amendment, finish, has_settled, move
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint
from ingestion.term import Term

# The ids of a sitting's answers begin with the milliseconds of its opening: they lie side by side in one partition.
# `offset 0` keeps the planner from reading all answers and comparing afterwards.
_SITTINGS = """
select s.id, s.mode = 'imported' as imported, first_of(s.opened_at) as low, last_of(s.opened_at) as high
from quiz_sessions s where s.quiz_id in (select quiz_id from quiz_questions where question_id = %(question)s)
"""
_WITHIN = "r.response_id >= {low} and r.response_id < {high} and r.session_id = {id} and r.question_id = %(question)s"
_OF_SITTING = _WITHIN.format(low="%(low)s", high="%(high)s", id="%(id)s")
ANSWERS = f"""
({_SITTINGS} offset 0) s cross join lateral (
    select r.* from responses r where {_WITHIN.format(low="s.low", high="s.high", id="s.id")} offset 0) r
"""
_NEXT = f"{_SITTINGS} and s.id > %(after)s order by s.id limit 100"
_GROUPS = f"""
select choice, correct, score, %(imported)s as imported, count(*) as answers
from responses r where {_OF_SITTING} group by 1, 2, 3 order by 1, 2, 3
"""
QUESTION = "select qtype, options, answer_key from questions where id = %(question)s"
_ALLOW = "select set_config('eduanalytics.amending', 'regrade', true)"
_MARK = f"""
update responses r set correct = m.correct, score = m.score
from jsonb_to_recordset(%(marks)s) as m (choice text, correct boolean, score double precision)
where {_OF_SITTING} and m.choice is not distinct from r.choice
  and (r.correct, r.score) is distinct from (m.correct, m.score)
"""
_BUDGET_SECONDS = 0.2
# A live room keeps the keys that it began with.
_ROOMS = """
select 1 as n from quiz_sessions where mode = 'live' and ended_at is null and started_at < %(asked_at)s
  and opened_at > %(asked_at)s - interval '1 day'
  and quiz_id in (select quiz_id from quiz_questions where question_id = %(question)s) limit 1
"""
_QUIZZES = "select distinct quiz_id from quiz_questions where question_id = %(question)s"


def mark_record(term: Term, amendment: Amendment) -> None:
    """New marks in the record, sitting by sitting, as many as a pass has time for; one transaction.

    Reports do not change before all sittings are marked: ClickHouse is told then.
    """
    with term.connection.transaction():
        run = _Run(term.connection, amendment.subject, amendment.work)
        run.mark_sittings(time.monotonic() + _BUDGET_SECONDS)
        if not run.ended:
            move(term.connection, amendment, amendment.state, run.work)
        else:
            late = amendment.state == "settling" and not run.found
            move(term.connection, amendment, "settling" if late else "sending", run.work)
        failpoint("amend_marking")
    failpoint("amend_marked")


class _Run:
    """One walk over the sittings that asked a question; `work` is what the next pass needs."""

    def __init__(self, connection: Blocking, question: int, work: dict[str, Any]) -> None:
        self.connection = connection
        self.question = {"question": question}
        self.marks: dict[str, Any] = dict(work.get("marks", {}))
        self.blank: dict[str, Any] | None = work.get("blank")
        self.tally: dict[str, int] = dict(work.get("tally", {}))
        self.after = int(work.get("after", 0))
        self.seen = [int(number) for number in work.get("seen", (0, 0))]
        self.ended = False
        self.asked = Asked(**connection.execute(QUESTION + " for share", self.question).fetchall()[0])

    @property
    def found(self) -> bool:
        """Whether ClickHouse has to be told something."""
        return bool(self.marks or self.blank)

    @property
    def work(self) -> dict[str, Any]:
        """All of it; a walk that has ended tells how many answers there are, and the next one begins anew."""
        tally = self.tally
        if self.ended:
            tally = tally | {"answers": self.seen[0], "ungradable": self.seen[1]}
        again = {"after": 0 if self.ended else self.after, "seen": [0, 0] if self.ended else self.seen}
        return {"marks": self.marks, "blank": self.blank, "tally": tally, "key": self.asked.answer_key, **again}

    def mark_sittings(self, until: float) -> None:
        """Sitting by sitting until there is none or the time is over."""
        while time.monotonic() < until:
            sittings = self.connection.execute(_NEXT, {**self.question, "after": self.after}).fetchall()
            for sitting in sittings:
                self._mark(sitting)
                self.after = sitting["id"]
                if time.monotonic() >= until:
                    return
            if not sittings:
                self.ended = True
                return

    def _mark(self, sitting: dict[str, Any]) -> None:
        values = {**self.question, **sitting}
        groups = [Group(**row) for row in self.connection.execute(_GROUPS, values).fetchall()]
        changed = changes(self.asked, groups)
        if changed:
            told = [{"choice": group.choice, "correct": new[0], "score": new[1]} for group, new in changed]
            self.connection.execute(_ALLOW)
            self.connection.execute(_MARK, values | {"marks": Jsonb(told)})
        for group, new in changed:
            self._tell(sitting["id"], group.choice, new)
        counts = asdict(tally(self.asked, groups))
        self.seen = [self.seen[0] + counts.pop("answers"), self.seen[1] + counts.pop("ungradable")]
        self.tally = self.tally | {name: number + self.tally.get(name, 0) for name, number in counts.items()}

    def _tell(self, sitting: int, choice: str | None, new: Mark) -> None:
        """What ClickHouse is to be told: a mark for each choice, and one for no choice at all."""
        if choice is not None:
            self.marks[choice] = new
            return
        known = self.blank["sessions"] if self.blank else []
        self.blank = {"mark": new, "sessions": [*known, sitting]}


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
    failpoint("amend_sent")
    move(term.connection, amendment, "settling", {**amendment.work, "marks": {}, "blank": None})


def settle(term: Term, amendment: Amendment) -> None:
    """What was graded with the old key and came in late, or in a room that was open, is marked too; then it is done."""
    values = {"question": amendment.subject, "asked_at": amendment.asked_at}
    if not has_settled(term.connection, amendment) or term.connection.execute(_ROOMS, values).fetchone():
        return
    mark_record(term, amendment)
    late = term.connection.execute("select state, work from amendments where id = %s", (amendment.id,)).fetchall()[0]
    if late["state"] == "settling" and not late["work"]["after"] and store.are_written(term.warehouse, ["responses"]):
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
