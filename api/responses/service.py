"""The rules of answers: a caller answers only what he sees; ingestion grades and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from api.bodies import read_json
from api.events.service import event_caller
from api.responses import store
from api.responses.schemas import NewResponse, Outcome, Outcomes
from api.responses.store import Answerable
from api.scope import Scope
from core.errors import BadInput, Conflict, EduError, InvalidField, NotFound
from core.postgres import Postgres
from ingestion.decoding import Unreadable, unreadable
from ingestion.letters import DeadLetter, payload_of, person_of
from ingestion.responses import Answered, Responder, Submission
from ingestion.writer import Writer


@dataclass(frozen=True)
class Responses:
    """Takes answers for a caller."""

    postgres: Postgres
    responder: Responder
    writer: Writer

    async def submit(self, scope: Scope, wish: NewResponse) -> Outcome:
        """One answer; raises why it was not taken."""
        outcome, seen = await self._submit(scope, [wish])
        if isinstance(outcome[0], EduError):
            raise outcome[0]
        return _told(outcome[0], _hidden(scope, outcome[0], seen))

    async def submit_all(self, scope: Scope, wishes: Sequence[NewResponse]) -> Outcomes:
        """Many answers; each has its own outcome."""
        outcomes, seen = await self._submit(scope, wishes)
        items = [
            refused(item) if isinstance(item, EduError) else _told(item, _hidden(scope, item, seen))
            for item in outcomes
        ]
        found = Counter(item.status for item in items)
        return Outcomes(
            accepted=found["accepted"], duplicate=found["duplicate"], rejected=found["rejected"], items=items
        )

    async def take(self, scope: Scope, raw: Sequence[Any], wishes: Sequence[NewResponse | Outcome]) -> list[Outcome]:
        """Outcomes of items as they came (`raw`) and as they were read, in order; what is refused is kept.

        Raises `TooMany` only if nothing was written."""
        taken = iter((await self.submit_all(scope, [wish for wish in wishes if isinstance(wish, NewResponse)])).items)
        items = [next(taken) if isinstance(wish, NewResponse) else wish for wish in wishes]
        pairs = [(item, told) for item, told in zip(raw, items, strict=True) if told.status == "rejected"]
        await self.bury(scope, pairs)
        return items

    async def bury(self, scope: Scope, pairs: Sequence[tuple[Any, Outcome]]) -> None:
        """Keep refused answers, as they came, with their reasons."""
        principal = scope.principal
        letters = [
            DeadLetter(
                school_id=principal.school_id,
                reason=f"{outcome.reason}: {outcome.message}",
                payload=payload_of(item),
                kind="response",
                field=outcome.field,
                user_id=person_of(item, "student_id") or principal.user_id,
                sender_id=principal.user_id,
                sender_role=principal.role,
                event_id=outcome.id,
            )
            for item, outcome in pairs
        ]
        await self.writer.submit_dead_letters(letters)

    async def _submit(
        self, scope: Scope, wishes: Sequence[NewResponse]
    ) -> tuple[list[Answered | EduError], Answerable]:
        caller = event_caller(scope.principal)
        seen = await store.answerable(
            self.postgres,
            scope.parameters,
            {wish.quiz_id for wish in wishes if wish.quiz_id is not None},
            {wish.question_id for wish in wishes},
            {wish.session_id for wish in wishes if wish.session_id is not None},
        )
        outcomes: list[Answered | EduError | None] = [None] * len(wishes)
        allowed: dict[int, Submission] = {}
        for number, wish in enumerate(wishes):
            try:
                allowed[number] = _submission(scope, wish, seen)
            except EduError as error:
                outcomes[number] = error
        answered = await self.responder.submit_all(list(allowed.values()), caller)
        for number, outcome in zip(allowed, answered, strict=True):
            outcomes[number] = outcome
        return [outcome for outcome in outcomes if outcome is not None], seen


def read_line(line: bytes) -> Any:
    """A line as a plain value, or `Unreadable`: what a body may not hold, a line may not either."""
    try:
        return read_json(line, "The line")
    except BadInput as error:
        return unreadable(error.code, error.message, line)


def read_item(item: Any, place: str = "") -> NewResponse | Outcome:
    """An item as an answer, or why it is none; `place` begins the message."""
    if isinstance(item, Unreadable):
        return Outcome(status="rejected", reason=item.reason, message=f"{place}{item.message}")
    try:
        return NewResponse.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or None
        return Outcome(status="rejected", reason="invalid_field", field=field, message=f"{place}{first['msg']}")


def _submission(scope: Scope, wish: NewResponse, seen: Answerable) -> Submission:
    student_id = wish.student_id or (scope.principal.user_id if scope.role == "student" else None)
    if student_id is None:
        raise InvalidField("Say whose answer it is.", field="student_id")
    if wish.classroom_id is not None and not scope.sees_classroom(wish.classroom_id):
        raise NotFound("There is no such classroom here.", field="classroom_id")
    return Submission(
        question_id=wish.question_id,
        student_id=student_id,
        choice=wish.answer,
        session_id=wish.session_id,
        quiz_id=_quiz(wish, seen),
        classroom_id=wish.classroom_id,
        time_spent=wish.time_spent,
        attempt_number=wish.attempt_number,
        client_id=wish.client_id,
        submitted_at=wish.submitted_at,
        app=wish.app,
    )


def _quiz(wish: NewResponse, seen: Answerable) -> int | None:
    """The quiz that is answered, among those that the caller sees."""
    if wish.session_id is not None:
        mode = seen.sessions.get(wish.session_id)
        if mode is None:
            raise NotFound("There is no such session here.", field="session_id")
        if mode == "live":
            raise Conflict("A live quiz is answered over its socket, /ws/quiz.", code="live_session")
        return wish.quiz_id
    if wish.quiz_id is not None:
        if wish.quiz_id not in seen.quizzes:
            raise NotFound("There is no such quiz here.", field="quiz_id")
        return wish.quiz_id
    asking = seen.asking.get(wish.question_id, set())
    if not asking:
        raise NotFound("No quiz asks this question here.", field="question_id")
    if len(asking) > 1:
        raise InvalidField("Several quizzes ask this question; say which.", field="quiz_id", quizzes=sorted(asking))
    return next(iter(asking))


def _hidden(scope: Scope, answered: Answered, seen: Answerable) -> bool:
    """Whether a student must not be told yet: the quiz is played live now."""
    return scope.role == "student" and answered.quiz_id in seen.live_quizzes


def _told(answered: Answered, hidden: bool) -> Outcome:
    return Outcome(
        status=answered.status,
        id=answered.response_id,
        session_id=answered.session_id,
        quiz_id=answered.quiz_id,
        question_id=answered.question_id,
        student_id=answered.student_id,
        attempt_number=answered.attempt_number,
        answer=answered.choice,
        correct=None if hidden else answered.correct,
        score=None if hidden else answered.score,
        submitted_at=answered.submitted_at,
    )


def refused(error: EduError) -> Outcome:
    """Why an answer was not taken; of a contradiction also which answer stands."""
    stands = error.details.get("response_id")
    return Outcome(
        status="rejected",
        id=UUID(stands) if stands else None,
        reason=error.code,
        field=error.details.get("field"),
        message=str(error),
    )
