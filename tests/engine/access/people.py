"""Who may see which rows and members, by the definition of the roles, in plain Python; knows nothing of policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.engine.access.district import Row, Tables

KEY = "00112233445566778899aabbccddeeff"
_PERSONAL = frozenset(
    """
    activity.student_id classrooms.teacher_id enrolments.user_id events.user_id item_scores.student_id
    participations.student_id quiz_results.student_id responses.student_id students.id students.name
    students.external_id teachers.id teachers.name teachers.external_id student_performance.student_id
    student_performance.student
    """.split()  # noqa: SIM905 - a list of words is easier to read
)
_PSEUDONYMS = frozenset({"students.pseudonym", "learning.student_pseudonym", "student_performance.student_pseudonym"})
_CLOSED = {
    "student": _PSEUDONYMS | {"questions.answer_key"},
    "teacher": _PSEUDONYMS,
    "admin": _PSEUDONYMS,
    "analyst": _PERSONAL,
}
_AUDIT = {"audit", "audit_subjects"}
_WHOLE = {
    "student": {"teachers", "classroom_engagement", "content_effectiveness", "learning"} | _AUDIT,
    "teacher": _AUDIT,
    "analyst": _AUDIT,
}
PUBLISHED = {"student": {"participations.class_accuracy"}}
"""Statistics of at least five others, which the role is given on purpose."""


@dataclass
class Person:
    """Somebody in one or several roles."""

    roles: tuple[str, ...]
    user_id: int
    schools: tuple[int, ...]
    classrooms: frozenset[int] = frozenset()
    students: frozenset[int] = frozenset()
    attributes: dict[str, Any] = field(default_factory=dict)

    def may_ask(self, name: str) -> bool:
        """Whether each of his roles may ask for the member, and its answer is made of his rows alone."""
        owner = name.split(".")[0]
        return not any(
            name in _CLOSED[role] or owner in _WHOLE.get(role, ()) or name in PUBLISHED.get(role, ())
            for role in self.roles
        )


def draw_person(random: Random, tables: Tables) -> Person:
    """Anybody of the district, in one role or in several."""
    roles = random.choice(
        [
            ("student",),
            ("student",),
            ("student",),
            ("teacher",),
            ("admin",),
            ("analyst",),
            ("student", "teacher"),
            ("teacher", "admin"),
            ("admin", "analyst"),
        ]
    )
    first = "student" if "student" in roles else "teacher"
    user = random.choice([each for each in tables["users"] if each["role"] == first])
    own = user["school_id"]
    more = random.sample([1, 2, 3], random.randint(1, 2)) if "analyst" in roles else []
    schools = tuple(sorted({*more, *(() if roles == ("analyst",) else (own,))}))
    rooms = {each["id"] for each in tables["classrooms"] if each["teacher_id"] == user["id"]}
    rooms |= {
        each["classroom_id"] for each in tables["enrolments"] if each["user_id"] == user["id"] and not each["valid_to"]
    }
    pupils = {
        each["user_id"] for each in tables["enrolments"] if each["classroom_id"] in rooms and not each["valid_to"]
    }
    person = Person(roles, user["id"], schools, frozenset(rooms), frozenset(pupils))
    person.attributes = {
        "user_id": user["id"],
        "school_id": own,
        "school_ids": list(schools),
        "classroom_ids": sorted(rooms),
        "student_ids": sorted(pupils),
        "pseudonym_key": KEY,
    }
    return person


def seen_by(person: Person, tables: Tables) -> Tables:
    """What is left when everything is removed that none of his roles may see."""
    return {
        table: [row for row in rows if any(_ROLES[role](person, tables, table, row) for role in person.roles)]
        for table, rows in tables.items()
    }


def _student(me: Person, tables: Tables, table: str, row: Row) -> bool:
    ours = [each for each in tables["quiz_sessions"] if each["classroom_id"] in me.classrooms]
    mine = [each for each in tables.get("responses", ()) if each["student_id"] == me.user_id]
    results = [each for each in tables.get("quiz_results", ()) if each["student_id"] == me.user_id]
    if table == "schools":
        return row["id"] in me.schools
    if table == "users":
        return bool(row["id"] == me.user_id and row["role"] == "student")
    if table == "classrooms":
        return row["id"] in me.classrooms
    if table == "quiz_sessions":
        return row in ours
    if table == "quizzes":
        return row["id"] in {each["quiz_id"] for each in (*ours, *mine, *results)}
    if table == "quiz_questions":
        return (row["quiz_id"], row["quiz_version"]) in {
            (each["quiz_id"], each["quiz_version"]) for each in (*ours, *mine)
        }
    if table == "questions":
        over = {(each["quiz_id"], each["quiz_version"]) for each in ours if each["ended_at"] is not None}
        told = {
            each["question_id"] for each in tables["quiz_questions"] if (each["quiz_id"], each["quiz_version"]) in over
        }
        return row["id"] in told | {each["question_id"] for each in mine}
    return bool(row["user_id" if table in ("enrolments", "events") else "student_id"] == me.user_id)


def _teacher(me: Person, tables: Tables, table: str, row: Row) -> bool:
    if table == "schools":
        return row["id"] in me.schools
    if table == "users":
        return row["id"] in me.students if row["role"] == "student" else row["id"] == me.user_id
    if table == "classrooms":
        return row["id"] in me.classrooms
    if table in ("quizzes", "questions", "quiz_questions"):
        return _of_schools(me, tables, table, row)
    return row["classroom_id"] in me.classrooms


def _of_schools(me: Person, tables: Tables, table: str, row: Row) -> bool:
    if table == "schools":
        return row["id"] in me.schools
    if table == "quiz_questions":
        row = next(each for each in tables["quizzes"] if each["id"] == row["quiz_id"])
    shared = row["school_id"] is None and "title" in row
    return shared or row["school_id"] in me.schools


def _analyst(me: Person, tables: Tables, table: str, row: Row) -> bool:
    """What he may see of schools, as far as the persons in it share their data."""
    if table == "users":
        return _of_schools(me, tables, table, row) and (row["role"] != "student" or row["shared"])
    who = row.get("student_id", row.get("user_id"))
    shares = who is None or any(each["id"] == who and each["shared"] for each in tables["users"])
    return _of_schools(me, tables, table, row) and shares


_ROLES = {"student": _student, "teacher": _teacher, "admin": _of_schools, "analyst": _analyst}
