"""Worlds read from the shared CSV folders, each with its own range of ids."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

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

STRIDE = 10_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_folders(folders: list[Path]) -> World:
    """One world of all folders; an id of folder number n is n·STRIDE + the id in the file."""
    world = World()
    for number, folder in enumerate(folders):
        _Reader(world, folder, number * STRIDE).read()
    return world


class _Reader:
    def __init__(self, world: World, folder: Path, base: int) -> None:
        self.world, self.folder, self.base = world, folder, base

    def read(self) -> None:
        """Add the folder's rows in the order of their references."""
        self._schools()
        self._people()
        self._classrooms()
        self._enrolments()
        self._questions()
        self._quizzes()
        self._sessions()
        self._answers()
        self._results()
        self._events()

    def _rows(self, table: str) -> Iterator[dict[str, str]]:
        path = self.folder / f"{table}.csv.gz"
        if path.exists():
            with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)

    def _id(self, cell: str) -> int:
        return self.base + int(cell)

    def _schools(self) -> None:
        for row in self._rows("schools"):
            key = self._id(row["school_id"])
            self.world.schools[key] = School(key, row["name"], row["external_id"] or None)

    def _people(self) -> None:
        for row in self._rows("users"):
            key = self._id(row["user_id"])
            school = self.world.schools[self._id(row["school_id"])]
            self.world.people[key] = Person(key, row["role"], school, row["name"], row["external_id"] or None)

    def _classrooms(self) -> None:
        for row in self._rows("classrooms"):
            key = self._id(row["classroom_id"])
            school = self.world.schools[self._id(row["school_id"])]
            teacher = self.world.people[self._id(row["teacher_id"])] if row["teacher_id"] else None
            self.world.classrooms[key] = Classroom(
                key, school, teacher, row["name"], row["subject"] or None, row["external_id"] or None
            )

    def _enrolments(self) -> None:
        for number, row in enumerate(self._rows("enrollments"), start=1):
            classroom = self.world.classrooms[self._id(row["classroom_id"])]
            person = self.world.people[self._id(row["user_id"])]
            self.world.enrolments.append(Enrolment(self.base + number, classroom, person, row["role"], EPOCH))

    def _questions(self) -> None:
        for row in self._rows("questions"):
            key = self._id(row["question_id"])
            self.world.questions[key] = Question(
                key,
                row["title"],
                row["qtype"],
                row["correct_answer"] or None,
                float(row["max_score"]),
                tuple(json.loads(row["skills"])),
                row["external_id"] or None,
            )

    def _quizzes(self) -> None:
        for row in self._rows("quizzes"):
            key = self._id(row["quiz_id"])
            self.world.quizzes[key] = Quiz(key, row["title"], row["subject"] or None, row["external_id"] or None)
        for row in sorted(self._rows("quiz_questions"), key=lambda row: int(row["position"])):
            question = self.world.questions[self._id(row["question_id"])]
            self.world.quizzes[self._id(row["quiz_id"])].questions.append(question)

    def _sessions(self) -> None:
        for row in self._rows("sessions"):
            key = self._id(row["session_id"])
            classroom = self.world.classrooms[self._id(row["classroom_id"])]
            quiz = self.world.quizzes[self._id(row["quiz_id"])]
            self.world.sessions[key] = Session(
                key, quiz, classroom.school, classroom, "imported", _moment(row["started_at"]), _moment(row["ended_at"])
            )

    def _answers(self) -> None:
        for row in self._rows("responses"):
            submitted = _moment(row["submitted_at"])
            assert submitted is not None
            question = self.world.questions[self._id(row["question_id"])]
            self.world.answers.append(
                Answer(
                    self._id(row["response_id"]),
                    self.world.sessions[self._id(row["session_id"])],
                    question,
                    self.world.people[self._id(row["student_id"])],
                    int(row["attempt_number"]),
                    row["answer"] or None,
                    row["correct"] == "1" if row["correct"] else None,
                    float(row["score"]) / question.max_score if row["score"] else None,
                    round(float(row["time_spent"]) * 1000) if row["time_spent"] else None,
                    submitted,
                )
            )

    def _results(self) -> None:
        for row in self._rows("quiz_results"):
            self.world.results.append(
                Result(
                    self._id(row["result_id"]),
                    self.world.sessions[self._id(row["session_id"])],
                    self.world.people[self._id(row["student_id"])],
                    int(row["attempt_number"]),
                    float(row["score"]),
                    float(row["max_score"]),
                    _moment(row["submitted_at"]),
                )
            )

    def _events(self) -> None:
        for row in self._rows("events"):
            occurred = _moment(row["timestamp"])
            assert occurred is not None
            person = self.world.people[self._id(row["user_id"])] if row["user_id"] else None
            classroom = self.world.classrooms[self._id(row["classroom_id"])] if row["classroom_id"] else None
            quiz = self.world.quizzes[self._id(row["quiz_id"])] if row["quiz_id"] else None
            school = classroom.school if classroom else (person.school if person else None)
            assert school is not None
            self.world.events.append(
                Event(
                    self._id(row["event_id"]),
                    row["event_name"],
                    row["app"] or None,
                    person,
                    school,
                    classroom,
                    quiz,
                    occurred,
                )
            )


def _moment(cell: str) -> datetime | None:
    if not cell:
        return None
    moment = datetime.fromisoformat(cell.replace("Z", "+00:00"))
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
