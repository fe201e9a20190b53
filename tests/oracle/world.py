"""The rows of an installation as linked records, for the oracle to walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True, eq=False, repr=False)
class School:
    """A school."""

    id: int
    name: str
    external_id: str | None
    time_zone: str = "UTC"


@dataclass(slots=True, eq=False, repr=False)
class Person:
    """A student or a teacher."""

    id: int
    role: str
    school: School
    name: str
    external_id: str | None


@dataclass(slots=True, eq=False, repr=False)
class Classroom:
    """A classroom."""

    id: int
    school: School
    teacher: Person | None
    name: str
    subject: str | None
    external_id: str | None


@dataclass(slots=True, eq=False, repr=False)
class Enrolment:
    """A membership; `left` if it has ended."""

    id: int
    classroom: Classroom
    person: Person
    role: str
    valid_from: datetime
    valid_to: datetime | None = None

    @property
    def school(self) -> School:
        """The classroom's school."""
        return self.classroom.school

    @property
    def student(self) -> Person | None:
        """The member, if a student."""
        return self.person if self.person.role == "student" else None


@dataclass(slots=True, eq=False, repr=False)
class Question:
    """A question."""

    id: int
    title: str
    qtype: str
    answer_key: str | None
    max_score: float
    skills: tuple[str, ...]
    external_id: str | None
    school: School | None = None


@dataclass(slots=True, eq=False, repr=False)
class Quiz:
    """A quiz with the questions of its only version."""

    id: int
    title: str
    subject: str | None
    external_id: str | None
    school: School | None = None
    questions: list[Question] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class Session:
    """One sitting of a quiz."""

    id: int
    quiz: Quiz
    school: School
    classroom: Classroom | None
    mode: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(slots=True, eq=False, repr=False)
class Answer:
    """One row of `responses`; `score` is a share of the points, times are milliseconds."""

    id: int
    session: Session
    question: Question
    student: Person
    attempt: int
    choice: str | None
    correct: bool | None
    score: float | None
    time_ms: int | None
    submitted_at: datetime

    @property
    def quiz(self) -> Quiz:
        """The session's quiz."""
        return self.session.quiz

    @property
    def classroom(self) -> Classroom | None:
        """The session's classroom."""
        return self.session.classroom

    @property
    def school(self) -> School:
        """The session's school."""
        return self.session.school


@dataclass(slots=True, eq=False, repr=False)
class Result:
    """One row of `quiz_results`."""

    id: int
    session: Session
    student: Person
    attempt: int
    score: float
    max_score: float
    submitted_at: datetime | None

    @property
    def quiz(self) -> Quiz:
        """The session's quiz."""
        return self.session.quiz

    @property
    def classroom(self) -> Classroom | None:
        """The session's classroom."""
        return self.session.classroom

    @property
    def school(self) -> School:
        """The session's school."""
        return self.session.school


@dataclass(slots=True, eq=False, repr=False)
class Event:
    """One row of `events`."""

    id: int
    name: str
    app: str | None
    person: Person | None
    school: School
    classroom: Classroom | None
    quiz: Quiz | None
    occurred_at: datetime

    @property
    def student(self) -> Person | None:
        """Who did it, if a student."""
        return self.person if self.person is not None and self.person.role == "student" else None


@dataclass(slots=True, eq=False, repr=False)
class World:
    """Everything."""

    schools: dict[int, School] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    classrooms: dict[int, Classroom] = field(default_factory=dict)
    enrolments: list[Enrolment] = field(default_factory=list)
    questions: dict[int, Question] = field(default_factory=dict)
    quizzes: dict[int, Quiz] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
