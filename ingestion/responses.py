"""Answers at the door: who may answer what, in which session, right or wrong; then into the record by group commit.

The server grades; what a client says of correctness is not even read. Without a session the answer belongs to the
open self-paced session of (quiz, version, school, classroom), which is made when it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from core.clock import epoch_ms, now
from core.errors import Conflict, EduError, Forbidden, InvalidField, NotFound
from core.postgres import Postgres
from ingestion.accept import NEWEST, OLDEST
from ingestion.attempts import AnswerRow, Placed
from ingestion.events import check_value
from ingestion.grading import Grade, grade
from ingestion.lookup import Known, Session, look_up, open_session
from ingestion.scope import Caller
from ingestion.writer import Writer

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Submission:
    """An answer as an app sends it: to a session, or to a quiz, or to a question that only one quiz asks."""

    question_id: int
    student_id: int
    choice: Any
    session_id: int | None = None
    quiz_id: int | None = None
    classroom_id: int | None = None
    time_spent: float | None = None
    attempt_number: int | None = None
    client_id: str | None = None
    submitted_at: datetime | None = None
    app: Literal["whiteboard", "notebook"] = "notebook"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer as it stands in the record; a retry gets the same one again, as `duplicate`."""

    status: Literal["accepted", "duplicate"]
    response_id: UUID
    session_id: int
    quiz_id: int
    question_id: int
    student_id: int
    attempt_number: int
    choice: str | None
    correct: bool | None
    score: float | None
    submitted_at: datetime


class Responder:
    """Takes answers for one caller each."""

    def __init__(self, postgres: Postgres, writer: Writer) -> None:
        self._postgres = postgres
        self._writer = writer

    async def submit(self, submission: Submission, caller: Caller) -> Answered:
        """One answer. Raises `NotFound`, `Forbidden`, `InvalidField`, `Conflict`, `TooMany`, `Unavailable`."""
        (outcome,) = await self.submit_all([submission], caller)
        if isinstance(outcome, EduError):
            raise outcome
        return outcome

    async def submit_all(self, submissions: Sequence[Submission], caller: Caller) -> list[Answered | EduError]:
        """Many answers; each has its own outcome. Raises only `TooMany` and `Unavailable`: then nothing was written."""
        outcomes: list[Answered | EduError | None] = [None] * len(submissions)
        rows: dict[int, AnswerRow] = {}
        for number, row in enumerate(await self._rows(submissions, caller)):
            if isinstance(row, EduError):
                outcomes[number] = row
            else:
                rows[number] = row
        written = await self._writer.submit_responses(list(rows.values()))
        for (number, row), placed in zip(rows.items(), written, strict=True):
            outcomes[number] = _outcome(row, placed)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _rows(self, submissions: Sequence[Submission], caller: Caller) -> list[AnswerRow | EduError]:
        moment = now()
        rows: list[AnswerRow | EduError] = []
        async with self._postgres.transaction() as connection:
            known = await look_up(connection, submissions, caller)
            for submission in submissions:
                try:
                    _check(submission, moment)
                    school_id = _student_school(submission, caller, known)
                    session = _session(submission, school_id, known)
                    graded = _graded(submission, session, known)
                    if session.id is None:
                        session = await open_session(connection, session, known)
                    rows.append(_row(submission, session, graded, moment))
                except EduError as error:
                    rows.append(error)
        return rows


def _check(submission: Submission, moment: datetime) -> None:
    check_value({"choice": submission.choice, "client_id": submission.client_id})
    if isinstance(submission.choice, dict):
        raise InvalidField("An answer is a text, a number, true or false, or a list of texts.", field="choice")
    if len(str(submission.choice)) > 4_000:
        raise InvalidField("An answer has at most 4000 characters.", field="choice")
    if submission.client_id is not None and not 0 < len(submission.client_id) <= 200:
        raise InvalidField("A client_id has 1 to 200 characters.", field="client_id")
    if submission.time_spent is not None and not 0 <= submission.time_spent <= _DAY_SECONDS:
        raise InvalidField("The time spent lies between 0 and 86400 seconds.", field="time_spent")
    if submission.attempt_number is not None and not 1 <= submission.attempt_number <= 10_000:
        raise InvalidField("Attempts count from 1 to 10000.", field="attempt_number")
    if submission.submitted_at and not moment - OLDEST <= submission.submitted_at <= moment + NEWEST:
        raise InvalidField("The answer is older than 35 days or lies in the future.", field="submitted_at")


def _student_school(submission: Submission, caller: Caller, known: Known) -> int:
    """The student's school, if the caller may answer for that student."""
    if caller.role == "student" and submission.student_id != caller.user_id:
        raise Forbidden("A student answers only for himself.", field="student_id")
    student = known.students.get(submission.student_id)
    if student is None or (caller.role != "operator" and student.school_id != caller.school_id):
        raise NotFound(f"There is no student {submission.student_id} here.", field="student_id")
    if caller.role == "teacher" and not student.taught:
        raise Forbidden("This student is in none of your classrooms.", field="student_id")
    return student.school_id


def _session(submission: Submission, school_id: int, known: Known) -> Session:
    """The session answered to; without an id it is the self-paced one still to be found."""
    if submission.session_id is not None:
        session = known.sessions.get(submission.session_id)
        if session is None or session.school_id != school_id:
            raise NotFound(f"There is no session {submission.session_id} here.", field="session_id")
        if submission.quiz_id not in (None, session.quiz_id):
            raise InvalidField("The session belongs to another quiz.", field="quiz_id")
        if session.live:
            raise Conflict("A live quiz takes answers over its socket.", code="live_session")
        if session.ended:
            raise Conflict("The session has ended.", code="session_ended", session_id=session.id)
        return session
    quiz_id = submission.quiz_id if submission.quiz_id is not None else _only_quiz(submission, school_id, known)
    quiz = known.quizzes.get(quiz_id)
    if quiz is None or quiz.school_id not in (None, school_id):
        raise NotFound(f"There is no quiz {quiz_id} here.", field="quiz_id")
    classroom_id = _classroom(submission, school_id, quiz.classroom_id, known)
    return Session(None, school_id, classroom_id, quiz_id, quiz.version, None)


def _only_quiz(submission: Submission, school_id: int, known: Known) -> int:
    asking = {
        quiz_id
        for quiz_id, version, question_id in known.asked
        if question_id == submission.question_id
        and (quiz := known.quizzes.get(quiz_id))
        and quiz.version == version
        and quiz.school_id in (None, school_id)
    }
    if not asking:
        raise NotFound(f"No quiz asks the question {submission.question_id} here.", field="question_id")
    if len(asking) > 1:
        raise InvalidField("Several quizzes ask this question; say which.", field="quiz_id", quizzes=sorted(asking))
    return asking.pop()


def _classroom(submission: Submission, school_id: int, of_quiz: int | None, known: Known) -> int | None:
    """The classroom named, else the quiz's, else the student's if he is in one only."""
    if submission.classroom_id is not None:
        if known.classrooms.get(submission.classroom_id) != school_id:
            raise NotFound(f"There is no classroom {submission.classroom_id} here.", field="classroom_id")
        return submission.classroom_id
    if of_quiz is not None and known.classrooms.get(of_quiz) == school_id:
        return of_quiz
    enrolled = known.students[submission.student_id].classroom_ids
    return enrolled[0] if len(enrolled) == 1 else None


def _graded(submission: Submission, session: Session, known: Known) -> Grade:
    question = known.questions.get(submission.question_id)
    if question is None or (session.quiz_id, session.quiz_version, submission.question_id) not in known.asked:
        raise NotFound(f"The quiz does not ask the question {submission.question_id}.", field="question_id")
    return grade(question.qtype, question.options, question.answer_key, submission.choice)


def _row(submission: Submission, session: Session, graded: Grade, moment: datetime) -> AnswerRow:
    if session.id is None or session.opened_at is None:
        raise Conflict("The session was closed meanwhile; send the answer again.", code="session_ended")
    spent = submission.time_spent
    submitted = submission.submitted_at or moment
    return AnswerRow(
        school_id=session.school_id,
        classroom_id=session.classroom_id,
        session_id=session.id,
        opened_at=session.opened_at,
        quiz_id=session.quiz_id,
        quiz_version=session.quiz_version,
        question_id=submission.question_id,
        student_id=submission.student_id,
        attempt_number=submission.attempt_number,
        choice=graded.choice,
        correct=graded.correct,
        score=graded.score,
        time_spent_ms=None if spent is None else round(spent * 1000),
        submitted_at=datetime.fromtimestamp(epoch_ms(submitted) / 1000, moment.tzinfo),
        client_id=submission.client_id,
        app=submission.app,
    )


def _outcome(row: AnswerRow, placed: Placed | EduError) -> Answered | EduError:
    if isinstance(placed, EduError):
        return placed
    if placed.status == "conflict":
        return Conflict(
            "Another answer has this client_id or this attempt number.",
            code="answer_conflict",
            response_id=str(placed.response_id),
            attempt_number=placed.attempt_number,
        )
    return Answered(
        status="accepted" if placed.status == "accepted" else "duplicate",
        response_id=placed.response_id,
        session_id=row.session_id,
        quiz_id=row.quiz_id,
        question_id=row.question_id,
        student_id=row.student_id,
        attempt_number=placed.attempt_number,
        choice=placed.choice,
        correct=placed.correct,
        score=placed.score,
        submitted_at=placed.submitted_at,
    )
