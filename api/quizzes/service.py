"""The rules of quizzes: who makes them where, and that a version once asked never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.directory import store as directory_store
from api.events.service import event_caller
from api.fields import Paging
from api.quizzes import store
from api.quizzes.questions import Prepared, prepare
from api.quizzes.schemas import NewQuestion, NewQuiz, Question, Quiz, QuizHead, QuizVersion
from api.scope import Scope
from core.clock import now
from core.errors import EduError, Forbidden, InvalidField, NotFound
from core.postgres import Connection, Postgres
from core.telemetry import log
from ingestion.accept import Acceptor


@dataclass
class Quizzes:
    """Quizzes over the record; what happens is told as events."""

    postgres: Postgres
    acceptor: Acceptor

    async def create(self, scope: Scope, wish: NewQuiz) -> Quiz:
        """A new quiz, version 1."""
        questions = _prepared(wish.questions)
        place = await self._place(scope, wish)
        maker = scope.principal.user_id
        async with self.postgres.transaction() as connection:
            head = await store.insert_quiz(
                connection, title=wish.title, subject=wish.subject, created_by=maker, **place
            )
            await store.ask(connection, head, questions)
        await self._tell(scope, head, len(questions))
        return await self.get(scope, head["id"])

    async def _place(self, scope: Scope, wish: NewQuiz) -> dict[str, int | None]:
        if wish.classroom_id is not None:
            row = await directory_store.one(self.postgres, "classrooms", scope.parameters, wish.classroom_id)
            if row is None or wish.school_id not in (None, row["school_id"]):
                raise NotFound("There is no such classroom.", field="classroom_id")
            return {"school_id": row["school_id"], "classroom_id": row["id"]}
        if scope.principal.is_operator and wish.school_id is None:
            return {"school_id": None, "classroom_id": None}
        school_id = scope.school_for(wish.school_id)
        if await directory_store.one(self.postgres, "schools", scope.parameters, school_id) is None:
            raise NotFound("There is no such school.", field="school_id")
        return {"school_id": school_id, "classroom_id": None}

    async def change(self, scope: Scope, quiz_id: int, wish: QuizVersion) -> Quiz:
        """The next version; answers to the old one stay what they were."""
        await self.owned(scope, quiz_id)
        async with self.postgres.transaction() as connection:
            head = await store.next_version(connection, quiz_id, wish.title, wish.subject)
            questions = await _reused(connection, quiz_id, wish.questions)
            await store.ask(connection, head, questions)
        await self._tell(scope, head, len(questions))
        return await self.get(scope, quiz_id)

    async def delete(self, scope: Scope, quiz_id: int) -> None:
        """Out of sight; its answers stay in the reports."""
        await self.owned(scope, quiz_id)
        async with self.postgres.transaction() as connection:
            await store.delete(connection, quiz_id)

    async def owned(self, scope: Scope, quiz_id: int) -> dict[str, Any]:
        """A quiz that the caller may change; raises `NotFound`, `Forbidden`."""
        row = await self._visible(scope, quiz_id)
        shared = row["school_id"] is None
        mine = row["created_by"] == scope.principal.user_id or row["classroom_id"] in scope.classroom_ids
        if scope.principal.is_operator or (not shared and (scope.whole_school or mine)):
            return row
        raise Forbidden("Only its maker, a teacher of its classroom or an admin changes a quiz.")

    async def _visible(self, scope: Scope, quiz_id: int) -> dict[str, Any]:
        row = await store.one(self.postgres, scope.parameters, quiz_id)
        if row is None:
            raise NotFound("There is no such quiz.")
        return row

    async def get(self, scope: Scope, quiz_id: int) -> Quiz:
        """The newest version; a student does not get the key."""
        row = await self._visible(scope, quiz_id)
        asked = await store.asked(self.postgres, quiz_id, row["quiz_version"])
        return Quiz(**row, questions=[_shown(question, scope.role != "student") for question in asked])

    async def page(self, scope: Scope, paging: Paging, **wanted: Any) -> tuple[list[QuizHead], int]:
        """The newest first, without their questions."""
        rows, total = await store.page(self.postgres, scope.parameters, paging, **wanted)
        return [QuizHead(**row) for row in rows], total

    async def _tell(self, scope: Scope, head: dict[str, Any], count: int) -> None:
        if head["school_id"] is None:
            return
        event = {
            "event_name": "quiz_created",
            "client_id": f"quiz:{head['id']}:{head['quiz_version']}",
            "timestamp": now().isoformat(),
            "quiz_id": head["id"],
            "classroom_id": head["classroom_id"],
            "metadata": {"title": head["title"], "question_count": count},
        }
        caller = event_caller(scope.principal, head["school_id"])
        try:
            outcomes = await self.acceptor.accept([event], caller)
        except EduError as error:
            log.warning("event_lost", event_name="quiz_created", quiz_id=head["id"], reason=error.code)
        else:
            log.info("quiz_created", quiz_id=head["id"], quiz_version=head["quiz_version"], told=outcomes[0].status)


def _prepared(questions: Sequence[NewQuestion]) -> list[Prepared]:
    for index, question in enumerate(questions):
        if question.id is not None:
            raise InvalidField("A new quiz has only new questions.", field=f"questions.{index}.id")
    return [prepare(question, f"questions.{index}") for index, question in enumerate(questions)]


async def _reused(connection: Connection, quiz_id: int, wishes: Sequence[NewQuestion]) -> list[Prepared | int]:
    """A question that is sent as it was keeps its id; a changed one gets a new id."""
    known = await store.known(connection, quiz_id)
    questions: list[Prepared | int] = []
    for index, wish in enumerate(wishes):
        if wish.id is not None and wish.id not in known:
            raise InvalidField("This quiz has no such question.", field=f"questions.{index}.id")
        if wish.id is not None and wish.model_fields_set == {"id"}:
            questions.append(wish.id)
            continue
        prepared = prepare(wish, f"questions.{index}")
        same = wish.id is not None and all(known[wish.id][key] == value for key, value in prepared.columns.items())
        questions.append(wish.id if same and wish.id is not None else prepared)
    kept = [question for question in questions if isinstance(question, int)]
    if len(set(kept)) != len(kept):
        raise InvalidField("A question stands twice in the quiz.", field="questions")
    return questions


def _shown(row: dict[str, Any], with_key: bool) -> Question:
    if with_key:
        return Question(**row)
    options = [{"key": option["key"], "text": option.get("text", "")} for option in row["options"]]
    return Question(**{**row, "options": options, "answer_key": None})
