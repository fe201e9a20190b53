"""A corrected key: what it changes, the change itself, and what came of it. The work is `ingestion/amendments`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.audit.trail import Trail
from api.deps import Services
from api.fields import Body
from api.quizzes import store
from api.quizzes.questions import prepare
from api.quizzes.schemas import NewQuestion, Number, OptionKey, Text
from api.quizzes.service import Quizzes
from api.scope import Scope
from core.errors import Conflict, NotFound
from core.postgres import Connection
from ingestion.amendments.grades import Asked, Group, changes, tally
from ingestion.amendments.queue import Amendment, ask
from ingestion.amendments.regrading import ANSWERS

_SLACK_SECONDS = 60
_MOST_STUDENTS = 500
_MARKED = f"""
select r.student_id, r.choice, r.correct, r.score, s.mode = 'imported' as imported, count(*) as answers
from {ANSWERS} group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
"""
_ASKING = """
select distinct q.quiz_id from quiz_questions q join quizzes z on z.id = q.quiz_id
where q.question_id = %(question)s and z.deleted_at is null
"""
_ROOMS = f"""
select count(*) as n from quiz_sessions where mode = 'live' and started_at is not null and ended_at is null
  and quiz_id in ({_ASKING})
"""
_SET_KEY = (
    "update questions set answer_key = %(key)s where id = %(question)s and answer_key is not distinct from %(old)s"
)
_KEEP = """
insert into key_changes (question_id, quiz_id, changed_by, old_key, new_key, reason, amendment)
values (%(question)s, %(quiz)s, %(by)s, %(old)s, %(key)s, %(reason)s, %(amendment)s)
"""
_HISTORY = """
select k.changed_at, k.changed_by, k.old_key, k.new_key, k.reason, a.id as regrade, a.state, a.applied_at,
       a.finished_at, coalesce(a.result, a.work -> 'tally') as result
from key_changes k join amendments a on a.id = k.amendment where k.question_id = %(question)s order by k.id desc
"""


class NewKey(Body):
    """The right key; null: the question does not count."""

    answer_key: bool | Number | Text | list[OptionKey] | None
    reason: str | None = Field(None, min_length=1, max_length=500)


class StudentChange(BaseModel):
    """How the points of one student change, over all his tries; in shares of this question (1: all its points)."""

    student_id: int
    before: float
    after: float


class RegradePreview(BaseModel):
    """What a key would change."""

    old_key: str | None
    new_key: str | None
    answers: int = Field(description="Answers to this question, in every quiz and version that asks it.")
    changed: int
    up: int
    down: int
    counted: int = Field(description="Had no mark and get one.")
    uncounted: int = Field(description="Had a mark and lose it.")
    ungradable: int = Field(description="Nobody can say (an import without what was chosen); they keep their mark.")
    students_up: int
    students_down: int
    live_rooms: int = Field(description="Rooms that are open; answers there are marked anew when they have ended.")
    students: list[StudentChange] = Field(description="Those whom you see, at most 500.")


class Regrade(BaseModel):
    """A regrade under way."""

    id: int
    question_id: int
    state: str
    answer_key: str | None


class KeyChange(BaseModel):
    """One correction and what came of it."""

    changed_at: datetime
    changed_by: int | None
    old_key: str | None
    new_key: str | None
    reason: str | None
    regrade: int
    state: str = Field(description="waiting, sending, settling (reports are right already), done.")
    applied_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Regrades:
    """Corrected keys, for one caller."""

    services: Services
    quizzes: Quizzes
    scope: Scope

    async def preview(self, quiz_id: int, question_id: int, wish: NewKey) -> RegradePreview:
        """Grade every answer with the new key; nothing is changed."""
        question = await self._question(quiz_id, question_id)
        key = _key(question, wish)
        rows = await self.services.postgres.fetch(_MARKED, {"question": question_id})
        groups = [(row.pop("student_id"), Group(**row)) for row in rows]
        asked = Asked(question["qtype"], question["options"], key)
        people = _people(asked, groups)
        rooms = await self.services.postgres.fetch(_ROOMS, {"question": question_id})
        return RegradePreview(
            old_key=question["answer_key"],
            new_key=key,
            **asdict(tally(asked, [group for _, group in groups])),
            students_up=sum(each.after > each.before for each in people),
            students_down=sum(each.after < each.before for each in people),
            live_rooms=rooms[0]["n"],
            students=[each for each in people if self.scope.sees_student(each.student_id)][:_MOST_STUDENTS],
        )

    async def change(self, trail: Trail, quiz_id: int, question_id: int, wish: NewKey) -> Regrade:
        """The new key holds for every answer from now on; those that are there are marked anew."""
        question = await self._question(quiz_id, question_id)
        key, old = _key(question, wish), question["answer_key"]
        if key == old:
            raise Conflict("That is the key already.", code="same_key")
        await self._check_archive(question_id)
        values = {"question": question_id, "quiz": quiz_id, "key": key, "old": old, "reason": wish.reason}
        async with self.services.postgres.transaction() as connection:
            made = await self._set(connection, values, question["school_id"])
            told = {"old_key": old, "new_key": key, "regrade": made.id}
            await trail.record(connection, school_id=question["school_id"], **told)
        self.services.ingestion.loader.wake()
        return Regrade(id=made.id, question_id=question_id, state=made.state, answer_key=key)

    async def _set(self, connection: Connection, values: dict[str, Any], school_id: int | None) -> Amendment:
        if (await connection.execute(_SET_KEY, values)).rowcount != 1:
            raise Conflict("Somebody else has changed the key meanwhile.", code="key_changed")
        principal = self.scope.principal
        settle = math.ceil(self.services.settings.request_seconds) + _SLACK_SECONDS
        by = (principal.user_id, principal.role)
        made = await ask(connection, "regrade", values["question"], school_id, by, settle_seconds=settle)
        await connection.execute(_KEEP, values | {"by": principal.user_id, "amendment": made.id})
        return made

    async def history(self, quiz_id: int, question_id: int) -> list[KeyChange]:
        """The newest first."""
        await self._question(quiz_id, question_id)
        rows = await self.services.postgres.fetch(_HISTORY, {"question": question_id})
        return [KeyChange(**row) for row in rows]

    async def _question(self, quiz_id: int, question_id: int) -> dict[str, Any]:
        """The question, if the caller may change every quiz that asks it."""
        quiz = await self.quizzes.owned(self.scope, quiz_id)
        async with self.services.postgres.transaction() as connection:
            found = (await store.known(connection, quiz_id)).get(question_id)
        if found is None:
            raise NotFound("This quiz has no such question.")
        for row in await self.services.postgres.fetch(_ASKING, {"question": question_id}):
            await self.quizzes.owned(self.scope, row["quiz_id"])
        return {**found, "school_id": quiz["school_id"]}

    async def _check_archive(self, question_id: int) -> None:
        """Answers whose month has left the record cannot be marked there; raises `Conflict`."""
        there = "SELECT count() FROM responses WHERE question_id = {question:Int64}"
        held = (await self.services.warehouse.query(there, {"question": question_id})).result_rows[0][0]
        rows = await self.services.postgres.fetch(f"select count(*) as n from {ANSWERS}", {"question": question_id})
        missing = int(held) - int(rows[0]["n"])
        if missing > 0:
            raise Conflict(
                f"{missing} answers to this question are in the archive.",
                hint="Restore their months to the record first.",
                code="archived_answers",
            )


def _key(question: dict[str, Any], wish: NewKey) -> str | None:
    if wish.answer_key is None:
        return None
    asked = {name: question[name] for name in ("title", "qtype", "options", "max_score", "skills")}
    return prepare(NewQuestion.model_validate({**asked, "answer_key": wish.answer_key}), "body").answer_key


def _people(asked: Asked, groups: Sequence[tuple[int, Group]]) -> list[StudentChange]:
    """Whose points change, the greatest loss first."""
    before: dict[int, float] = defaultdict(float)
    after: dict[int, float] = defaultdict(float)
    for student, group in groups:
        new = next(iter(_scores(asked, group)), group.score)
        before[student] += (group.score or 0) * group.answers
        after[student] += (new or 0) * group.answers
    found = [StudentChange(student_id=each, before=before[each], after=after[each]) for each in before]
    return sorted(
        (each for each in found if each.before != each.after),
        key=lambda each: (each.after - each.before, each.student_id),
    )


def _scores(asked: Asked, group: Group) -> Iterable[float | None]:
    return [score for _, (_, score) in changes(asked, [group])]
