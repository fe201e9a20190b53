"""Rows that are made of other rows: participations, item scores, activity, entries of quizzes, skills of questions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from math import fsum

from tests.oracle.world import Answer, Classroom, Person, Question, Quiz, School, Session, World

CLASS_FLOOR = 5


@dataclass(slots=True, eq=False, repr=False)
class Participation:
    """What one student did in one session."""

    session: Session
    student: Person
    answers: list[Answer]
    mates: list[Answer]
    class_size: int
    class_right: int
    class_marked: int

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

    @property
    def started_at(self) -> datetime:
        """The first answer."""
        return min(answer.submitted_at for answer in self.answers)

    @property
    def finished_at(self) -> datetime:
        """The last answer."""
        return max(answer.submitted_at for answer in self.answers)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last answer."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def time_on_task(self) -> float | None:
        """Seconds on questions, None if never measured."""
        times = [answer.time_ms for answer in self.answers if answer.time_ms is not None]
        return sum(times) / 1000 if times else None

    @property
    def questions_answered(self) -> int:
        """Different questions."""
        return len({answer.question.id for answer in self.answers})

    @property
    def question_count(self) -> int | None:
        """Questions of the quiz, None if none is known."""
        return len(self.session.quiz.questions) or None

    @property
    def completed(self) -> bool | None:
        """Whether every question was answered."""
        return None if self.question_count is None else self.questions_answered >= self.question_count

    @property
    def score(self) -> float | None:
        """The sum of the first tries' shares."""
        shares = [share for answer in self.answers if answer.attempt == 1 and (share := share_of(answer)) is not None]
        return fsum(shares) if shares else None

    @property
    def score_share(self) -> float | None:
        """The score divided by the number of questions."""
        return None if self.score is None or self.question_count is None else self.score / self.question_count


@dataclass(slots=True, eq=False, repr=False)
class ItemScore:
    """A marked first try, and what the student won on the rest."""

    answer: Answer
    share: float
    points: float
    rest: float

    @property
    def quiz(self) -> Quiz:
        """The session's quiz."""
        return self.answer.quiz

    @property
    def question(self) -> Question:
        """The question."""
        return self.answer.question

    @property
    def classroom(self) -> Classroom | None:
        """The session's classroom."""
        return self.answer.classroom

    @property
    def school(self) -> School:
        """The session's school."""
        return self.answer.school


@dataclass(slots=True, eq=False, repr=False)
class Trace:
    """An answer or a result."""

    kind: str
    at: datetime | None
    session: Session
    student: Person

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
class Entry:
    """A question's place in a quiz."""

    quiz: Quiz
    position: int
    question: Question


@dataclass(slots=True, eq=False, repr=False)
class Skill:
    """A skill of a question."""

    question: Question
    name: str


def share_of(answer: Answer) -> float | None:
    """The share of the points, from right and wrong where no score is known."""
    return answer.score if answer.score is not None else None if answer.correct is None else float(answer.correct)


def participations(world: World) -> list[Participation]:
    """One for each student and session with an answer."""
    by_taking: dict[tuple[int, int], list[Answer]] = defaultdict(list)
    by_session: dict[int, list[Answer]] = defaultdict(list)
    for answer in world.answers:
        by_taking[answer.session.id, answer.student.id].append(answer)
        by_session[answer.session.id].append(answer)
    classes = {key: _class_of(answers) for key, answers in by_session.items()}
    return [
        Participation(answers[0].session, answers[0].student, answers, by_session[session], *classes[session])
        for (session, _), answers in by_taking.items()
    ]


def _class_of(answers: list[Answer]) -> tuple[int, int, int]:
    right = sum(answer.correct is True for answer in answers)
    marked = sum(answer.correct is not None for answer in answers)
    return len({answer.student.id for answer in answers}), right, marked


def item_scores(world: World) -> list[ItemScore]:
    """One for each marked first try."""
    won: dict[tuple[int, int], list[float]] = defaultdict(list)
    marked = [
        (answer, share) for answer in world.answers if answer.attempt == 1 and (share := share_of(answer)) is not None
    ]
    for answer, share in marked:
        won[answer.session.id, answer.student.id].append(share * answer.question.max_score)
    totals = {key: fsum(points) for key, points in won.items()}
    return [
        ItemScore(answer, share, points, totals[answer.session.id, answer.student.id] - points)
        for answer, share in marked
        for points in [share * answer.question.max_score]
    ]


def activity(world: World) -> list[Trace]:
    """Answers and results together."""
    answers = [Trace("answer", row.submitted_at, row.session, row.student) for row in world.answers]
    return answers + [Trace("result", row.submitted_at, row.session, row.student) for row in world.results]


def entries(world: World) -> list[Entry]:
    """The questions of all quizzes."""
    return [
        Entry(quiz, position, question)
        for quiz in world.quizzes.values()
        for position, question in enumerate(quiz.questions, start=1)
    ]


def skills(question: Question) -> list[Skill]:
    """The different skills of a question."""
    return [Skill(question, name) for name in dict.fromkeys(question.skills)]
