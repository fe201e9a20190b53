"""A made-up school district of any size as a source: the same seed gives the same people, questions and answers.

Everything of a day depends on the seed and the date alone: a later run with the same seed adds the days since then.
Answers follow the two-parameter logistic model; nothing is kept in memory but one classroom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from itertools import count, product
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from core.clock import now
from core.errors import InvalidField
from ingestion.importers.items import LETTERS, SUBJECTS, Item, bank
from ingestion.importers.lectures import Lecture, event_rows, response_rows, room_key, session_rows, subject_of
from ingestion.importers.people import Students, generator, names, students
from ingestion.importers.rejects import Rejects
from ingestion.importers.sittings import sit
from ingestion.importers.source import Chunk, Record
from ingestion.importers.tables import TABLES
from ingestion.importers.timetable import lessons

_SCHOOLS = (
    "Lindenweg School",
    "Ada Lovelace School",
    "École du Parc",
    "Škola Na Kopci",
    "Riverside School",
    "Colegio Ñandú",
    "Grundschule Süd",
    "Школа № 7",
    "Al-Khwarizmi School",
    "湖畔小学",
)
_SECOND_CLASS = 0.03
_MOST_A_WEEK, _MOST_QUESTIONS = 5, 12


@dataclass(frozen=True)
class Account:
    """Somebody who can log in."""

    email: str
    password_hash: str


@dataclass(frozen=True)
class District:
    """`schools` × `classrooms_per_school` × `students_per_classroom` people over the `days` before `until`.

    `accounts`: role (teacher, admin, student) → who may log in as the first of that role in the first school.
    """

    schools: int = 1
    classrooms_per_school: int = 6
    students_per_classroom: int = 24
    days: int = 60
    seed: int = 1
    time_zone: str = "Europe/Vienna"
    until: datetime = field(default_factory=now)
    quizzes_per_week: int = 2
    questions_per_quiz: int = 8
    accounts: Mapping[str, Account] = field(default_factory=dict)
    name: str = "demo"
    ignored: tuple[str, ...] = ()
    unique: bool = True

    def __post_init__(self) -> None:
        sizes = (self.schools, self.classrooms_per_school, self.students_per_classroom, self.days)
        if min(sizes) < 1 or self.seed < 0:
            raise InvalidField("A district has at least one school, classroom, student and day.")
        if not (1 <= self.quizzes_per_week <= _MOST_A_WEEK and 1 <= self.questions_per_quiz <= _MOST_QUESTIONS):
            raise InvalidField(
                f"There are 1 to {_MOST_A_WEEK} quizzes a week with 1 to {_MOST_QUESTIONS} questions each."
            )

    def columns(self, table: str) -> frozenset[str]:
        """All columns of the tables that it makes."""
        made = {column.name for column in TABLES[table].columns} if table in self._makers else ()
        return frozenset(made)

    def chunks(self, table: str, size: int, rejects: Rejects) -> Iterator[Chunk]:  # noqa: ARG002
        """The rows of a table; the total is told from the share of classrooms that are done."""
        chunk, read = Chunk(table), 0
        for share, rows in self._makers[table]():
            chunk.rows += rows
            if len(chunk.rows) >= size:
                read += len(chunk.rows)
                yield _numbered(chunk, read, share)
                chunk = Chunk(table)
        if chunk.rows:
            yield _numbered(chunk, read + len(chunk.rows), 1.0)

    @property
    def _makers(self) -> dict[str, Any]:
        return {
            "schools": lambda: self._by_school(self._school),
            "users": lambda: self._by_school(self._users),
            "classrooms": lambda: self._by_school(self._classrooms),
            "enrollments": lambda: self._by_classroom(self._enrollments),
            "questions": lambda: [(1.0, list(self._questions()))],
            "quizzes": lambda: [(1.0, list(self._quizzes()))],
            "quiz_questions": lambda: [(1.0, list(self._quiz_questions()))],
            "sessions": lambda: self._by_lecture(session_rows),
            "responses": lambda: self._responses(),
            "events": lambda: self._by_lecture(event_rows),
        }

    # --- people and places

    def _by_school(self, make: Any) -> Iterator[tuple[float, list[Record]]]:
        for school in range(1, self.schools + 1):
            yield school / self.schools, list(make(school))

    def _by_classroom(self, make: Any) -> Iterator[tuple[float, list[Record]]]:
        for school, classroom in self._rooms():
            yield self._share(school, classroom), list(make(school, classroom))

    def _rooms(self) -> Iterator[tuple[int, int]]:
        return product(range(1, self.schools + 1), range(1, self.classrooms_per_school + 1))

    def _share(self, school: int, classroom: int) -> float:
        done = (school - 1) * self.classrooms_per_school + classroom
        return done / (self.schools * self.classrooms_per_school)

    def _school(self, school: int) -> Iterator[Record]:
        name, number = _SCHOOLS[(school - 1) % len(_SCHOOLS)], (school - 1) // len(_SCHOOLS)
        title = f"{name} {number + 1}" if number else name
        yield (f"s{school}", title, f"school-{school}", "{}", self.time_zone)

    def _users(self, school: int) -> Iterator[Record]:
        staff = names(generator(self.seed, "staff", school), self.classrooms_per_school + 1)
        yield self._user(f"s{school}a", "admin", school, staff[0], first=school == 1)
        for classroom, name in enumerate(staff[1:], 1):
            yield self._user(f"s{school}t{classroom}", "teacher", school, name, first=school == classroom == 1)
        for classroom in range(1, self.classrooms_per_school + 1):
            for place, name in enumerate(self._students(school, classroom).names):
                first = school == classroom == 1 and place == 0
                yield self._user(f"{room_key(school, classroom)}p{place + 1}", "student", school, name, first=first)

    def _user(self, key: str, role: str, school: int, name: str, *, first: bool) -> Record:
        account = self.accounts.get(role) if first else None
        email, password_hash = (account.email, account.password_hash) if account else (None, None)
        return (key, role, f"s{school}", name, key, "{}", email, password_hash)

    def _students(self, school: int, classroom: int) -> Students:
        return students(self.seed, school, classroom, self.students_per_classroom)

    def _classrooms(self, school: int) -> Iterator[Record]:
        for classroom in range(1, self.classrooms_per_school + 1):
            subject = subject_of(classroom)
            grade, letter = 5 + (classroom - 1) // 5 % 8, chr(ord("a") + (classroom - 1) // 40)
            key = room_key(school, classroom)
            yield (key, f"s{school}", f"s{school}t{classroom}", f"{subject.title()} {grade}{letter}", subject, key)

    def _enrollments(self, school: int, classroom: int) -> Iterator[Record]:
        """A few students are in a second classroom of their school."""
        room = room_key(school, classroom)
        for place in range(self.students_per_classroom):
            yield (room, f"{room}p{place + 1}", "student")
        if self.classrooms_per_school > 1:
            other = room_key(school, classroom % self.classrooms_per_school + 1)
            guests = generator(self.seed, "guests", school, classroom).random(self.students_per_classroom)
            for place in (guests < _SECOND_CLASS).nonzero()[0].tolist():
                yield (other, f"{room}p{place + 1}", "student")

    # --- content

    @cached_property
    def _bank(self) -> dict[str, tuple[Item, ...]]:
        return bank(self.seed)

    def _questions(self) -> Iterator[Record]:
        for subject, items in self._bank.items():
            for item in items:
                options = [{"key": key, "text": text} for key, text in zip(LETTERS, item.options, strict=True)]
                data = orjson.dumps(options).decode()
                yield (item.key, item.title, "single_choice", data, LETTERS[item.recorded], 1.0, (subject,), item.key)

    def _quiz_weeks(self) -> Iterator[tuple[str, str, int]]:
        """(subject, ISO week, slot) of every quiz of the period."""
        weeks = sorted(
            {f"{d.isocalendar().year}-W{d.isocalendar().week:02}" for d in map(date.fromordinal, self._span)}
        )
        return product(self._subjects, weeks, range(self.quizzes_per_week))

    @property
    def _subjects(self) -> tuple[str, ...]:
        return SUBJECTS[: self.classrooms_per_school]

    @property
    def _span(self) -> range:
        last = self.until.astimezone(ZoneInfo(self.time_zone)).date().toordinal()
        return range(last - self.days + 1, last + 1)

    def _quizzes(self) -> Iterator[Record]:
        for subject, week, slot in self._quiz_weeks():
            key = f"{subject}-{week}-{slot + 1}"
            author = f"s1t{SUBJECTS.index(subject) + 1}"
            yield (key, f"{subject.title()}, week {week[-2:]}, quiz {slot + 1}", subject, author, key, "{}")

    def _quiz_questions(self) -> Iterator[Record]:
        for subject, week, slot in self._quiz_weeks():
            for position, item in enumerate(self._quiz_items(subject, week, slot), 1):
                yield (f"{subject}-{week}-{slot + 1}", position, item.key)

    def _quiz_items(self, subject: str, week: str, slot: int) -> tuple[Item, ...]:
        items = self._bank[subject]
        number = int(week[:4] + week[-2:])
        rng = generator(self.seed, "quiz", SUBJECTS.index(subject), number, slot)
        return tuple(items[place] for place in rng.permutation(len(items))[: self.questions_per_quiz])

    # --- what happens

    def _by_lecture(self, make: Any) -> Iterator[tuple[float, list[Record]]]:
        for school, classroom in self._rooms():
            for lecture in self._lectures(school, classroom):
                yield self._share(school, classroom), list(make(lecture))

    def _responses(self) -> Iterator[tuple[float, list[Record]]]:
        numbers = count(1)
        return self._by_lecture(lambda lecture: response_rows(lecture, numbers))

    def _lectures(self, school: int, classroom: int) -> Iterator[Lecture]:
        group, place, subject = self._students(school, classroom), (school, classroom), subject_of(classroom)
        for lesson in lessons(self.seed, place, ZoneInfo(self.time_zone), self._span, self.quizzes_per_week):
            items = self._quiz_items(subject, lesson.week, lesson.slot)
            rng = generator(self.seed, "sitting", *place, lesson.day.toordinal())
            sitting = sit(rng, group, items, lesson.weeks_of_school)
            quiz = f"{subject}-{lesson.week}-{lesson.slot + 1}"
            lecture = Lecture(school, classroom, lesson, items, quiz, sitting)
            if lecture.end <= self.until:
                yield lecture


def _numbered(chunk: Chunk, read: int, share: float) -> Chunk:
    chunk.lines = list(range(read - len(chunk.rows) + 1, read + 1))
    chunk.total = round(read / share)
    return chunk
