"""Who may see which rows, said in Python: a student himself, a teacher his classrooms, an admin his school."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.oracle.evaluate import Scope
from tests.oracle.world import Person, World

Rule = Callable[[Any], bool]


@dataclass(frozen=True)
class Caller:
    """A person in a role, and what the product is told of him."""

    role: str
    attributes: dict[str, Any]
    scope: Scope


def caller(world: World, person: Person, role: str) -> Caller:
    """The person's rights; an admin may be anybody of the school."""
    rooms = _classrooms(world, person)
    pupils = _pupils(world, person, rooms) if role == "teacher" else {person.id}
    attributes = {
        "user_id": person.id,
        "school_id": person.school.id,
        "school_ids": [person.school.id],
        "classroom_ids": sorted(rooms),
        "student_ids": sorted(pupils),
    }
    scope = _SCOPES[role](person, rooms, pupils)
    return Caller(role, attributes, scope | _given(world, person, rooms) if role == "student" else scope)


def _classrooms(world: World, person: Person) -> set[int]:
    led = {room.id for room in world.classrooms.values() if room.teacher is person}
    return led | {row.classroom.id for row in world.enrolments if row.person is person and row.valid_to is None}


def _pupils(world: World, person: Person, rooms: set[int]) -> set[int]:
    return {row.person.id for row in world.enrolments if row.classroom.id in rooms and row.role == "student"}


def _shared(person: Person) -> Scope:
    own_or_shared: Rule = lambda row: row.school is None or row.school is person.school  # noqa: E731
    return {
        "quizzes": own_or_shared,
        "questions": own_or_shared,
        "question_skills": lambda row: own_or_shared(row.question),
        "quiz_questions": lambda row: own_or_shared(row.quiz),
    }


def _given(world: World, person: Person, rooms: set[int]) -> Scope:
    """A student reads the quizzes that were opened for him, and their questions once they have ended or he answered."""
    ours = [each for each in world.sessions.values() if each.classroom is not None and each.classroom.id in rooms]
    mine = [each for each in world.answers if each.student is person]
    results = [each for each in world.results if each.student is person]
    opened = {each.quiz.id for each in ours} | {each.quiz.id for each in mine}
    quizzes = opened | {each.quiz.id for each in results}
    over = {each.quiz.id for each in ours if each.ended_at is not None}
    questions = {item.id for key in over for item in world.quizzes[key].questions} | {each.question.id for each in mine}
    return {
        "quizzes": lambda row: row.id in quizzes,
        "questions": lambda row: row.id in questions,
        "question_skills": lambda row: row.question.id in questions,
        "quiz_questions": lambda row: row.quiz.id in opened,
    }


def _room(rooms: set[int]) -> Rule:
    return lambda row: row.classroom is not None and row.classroom.id in rooms


def _student(person: Person, rooms: set[int], pupils: set[int]) -> Scope:
    mine: Rule = lambda row: row.student is person  # noqa: E731
    return {
        **_shared(person),
        "schools": lambda row: row is person.school,
        "classrooms": lambda row: row.id in rooms,
        "students": lambda row: row is person,
        "sessions": _room(rooms),
        "enrolments": lambda row: row.person is person,
        "events": lambda row: row.person is person,
        "item_scores": lambda row: row.answer.student is person,
        **dict.fromkeys(("responses", "participations", "activity", "quiz_results"), mine),
    }


def _teacher(person: Person, rooms: set[int], pupils: set[int]) -> Scope:
    facts = ("responses", "participations", "activity", "quiz_results", "sessions", "enrolments", "events")
    return {
        **_shared(person),
        "schools": lambda row: row is person.school,
        "classrooms": lambda row: row.id in rooms,
        "students": lambda row: row.id in pupils,
        "teachers": lambda row: row is person,
        "item_scores": lambda row: _room(rooms)(row.answer),
        **dict.fromkeys(facts, _room(rooms)),
    }


def _admin(person: Person, rooms: set[int], pupils: set[int]) -> Scope:
    ours: Rule = lambda row: row.school is person.school  # noqa: E731
    facts = ("responses", "participations", "activity", "quiz_results", "sessions", "enrolments", "events")
    return {
        **_shared(person),
        "schools": lambda row: row is person.school,
        "item_scores": ours,
        **dict.fromkeys(("classrooms", "students", "teachers", *facts), ours),
    }


_SCOPES: dict[str, Callable[[Person, set[int], set[int]], Scope]] = {
    "student": _student,
    "teacher": _teacher,
    "admin": _admin,
}
