"""A small made-up district with every oddity that the imported folders lack; the same for the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from tests.oracle.world import (
    Answer,
    Classroom,
    Enrolment,
    Event,
    Person,
    Question,
    Quiz,
    Result,
    School,
    Session,
    World,
)

START = datetime(2025, 10, 20, 6, 0, tzinfo=UTC)
_ZONES = ["Europe/Vienna", "America/New_York", "UTC"]
_SUBJECTS = ["history", "biology", None]
_SKILLS = ["recall", "reason", "apply", "100%_sure"]


def make_world(seed: int, base: int = 0) -> World:
    """Retries, unmarked and blank answers, partial points, quizzes left half-way, sessions without a classroom."""
    return _Maker(Random(seed), base).make()


class _Maker:
    def __init__(self, random: Random, base: int) -> None:
        self.random, self.base, self.world, self.number = random, base, World(), 0

    def make(self) -> World:
        """Three schools, six classrooms, five quizzes, over five weeks with a change of the clocks."""
        for number in range(3):
            school = self._school(number)
            for _ in range(2):
                self._classroom(school)
        for number in range(5):
            self._quiz(number)
        for _ in range(25):
            self._session()
        for _ in range(60):
            self._event()
        return self.world

    def _id(self) -> int:
        self.number += 1
        return self.base + self.number

    def _school(self, number: int) -> School:
        school = School(self._id(), f"School «{number}»", None if number == 2 else f"s{number}", _ZONES[number])
        self.world.schools[school.id] = school
        return school

    def _person(self, role: str, school: School) -> Person:
        key = self._id()
        person = Person(key, role, school, f"{role.title()} {key % 7} O'Neil_{key}%", None)
        self.world.people[key] = person
        return person

    def _classroom(self, school: School) -> None:
        teacher = self._person("teacher", school) if self.random.random() < 0.8 else None
        key = self._id()
        classroom = Classroom(key, school, teacher, f"Class {key}", self.random.choice(_SUBJECTS), None)
        self.world.classrooms[key] = classroom
        for _ in range(self.random.randint(3, 9)):
            self._enrol(classroom, self._person("student", school), "student")
        self._enrol(classroom, self._person("teacher", school), "teacher")

    def _enrol(self, classroom: Classroom, person: Person, role: str) -> None:
        since = START - timedelta(days=self.random.randint(1, 60))
        until = since + timedelta(days=80) if self.random.random() < 0.2 else None
        self.world.enrolments.append(Enrolment(self._id(), classroom, person, role, since, until))

    def _quiz(self, number: int) -> None:
        quiz = Quiz(self._id(), f"Quiz {number}", self.random.choice(_SUBJECTS), None, None)
        self.world.quizzes[quiz.id] = quiz
        if number == 4:
            quiz.school = next(iter(self.world.schools.values()))
        for position in range(self.random.randint(3, 6)):
            skills = tuple(self.random.sample(_SKILLS, self.random.randint(0, 3)))
            points = self.random.choice([1.0, 2.0, 5.0])
            question = Question(self._id(), f"Q{number}.{position}?", "single_choice", "A", points, skills, None)
            self.world.questions[question.id] = question
            quiz.questions.append(question)

    def _session(self) -> None:
        classroom = self.random.choice(list(self.world.classrooms.values()))
        quiz = self.random.choice([q for q in self.world.quizzes.values() if q.school in (None, classroom.school)])
        started = START + timedelta(minutes=self.random.randint(0, 5 * 7 * 24 * 60))
        ended = started + timedelta(minutes=40) if self.random.random() < 0.7 else None
        mode = self.random.choice(["live", "self_paced"])
        owner = classroom if self.random.random() < 0.85 else None
        session = Session(self._id(), quiz, classroom.school, owner, mode, started, ended)
        self.world.sessions[session.id] = session
        for enrolment in self.world.enrolments:
            if enrolment.classroom is classroom and enrolment.role == "student" and self.random.random() < 0.8:
                self._taking(session, enrolment.person, started)

    def _taking(self, session: Session, student: Person, moment: datetime) -> None:
        if self.random.random() < 0.15:
            submitted = moment if self.random.random() < 0.5 else None
            score = self.random.randint(0, 20) / 2
            self.world.results.append(Result(self._id(), session, student, 1, score, 10.0, submitted))
            return
        asked = session.quiz.questions[: self.random.randint(1, len(session.quiz.questions))]
        for question in asked:
            for attempt in range(1, self.random.choice([1, 1, 1, 2, 3]) + 1):
                moment += timedelta(milliseconds=self.random.randint(1, 400_000))
                self._answer(session, question, student, attempt, moment)

    def _answer(self, session: Session, question: Question, student: Person, attempt: int, moment: datetime) -> None:
        choice = self.random.choice(["A", "B", "C", None])
        marked = self.random.random() < 0.85
        score = self.random.choice([0.0, 0.25, 0.5, 1.0]) if marked and self.random.random() < 0.8 else None
        correct = (score == 1.0 if score is not None else choice == "A") if marked else None
        spent = self.random.choice([None, 0, 9_999, 10_000, 59_999, 300_000, self.random.randint(0, 400_000)])
        self.world.answers.append(
            Answer(self._id(), session, question, student, attempt, choice, correct, score, spent, moment)
        )

    def _event(self) -> None:
        person = self.random.choice([*self.world.people.values(), None])
        school = person.school if person else self.random.choice(list(self.world.schools.values()))
        rooms = [room for room in self.world.classrooms.values() if room.school is school]
        self.world.events.append(
            Event(
                self._id(),
                self.random.choice(["content_viewed", "help_requested", "quiz_opened"]),
                self.random.choice(["whiteboard", "notebook", None]),
                person,
                school,
                self.random.choice([*rooms, None]),
                self.random.choice([*self.world.quizzes.values(), None]),
                START + timedelta(milliseconds=self.random.randint(0, 35 * 24 * 3_600_000)),
            )
        )
