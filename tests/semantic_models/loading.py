"""Puts an oracle's world straight into ClickHouse's tables, without importer and loader."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from core.warehouse import Warehouse
from tests.oracle.derived import entries
from tests.oracle.made_up import START
from tests.oracle.world import Person, World

_TAIL = ["version", "is_deleted"]


async def load_world(warehouse: Warehouse, world: World) -> None:
    """Insert every row; dimensions also get an older version and a deleted row, which FINAL must hide."""
    for table, columns, rows in _dimensions(world):
        newest = [[*row, 2, 0] for row in rows]
        older = [[*row, 1, 0] for row in rows]
        gone = [[-1, *row[1:], version, version - 1] for row in rows[:1] for version in (1, 2)]
        await warehouse.insert(table, [*columns, *_TAIL], newest)
        await warehouse.insert(table, [*columns, *_TAIL], [*older, *gone])
    await _insert(warehouse, "responses", _ANSWER, _answers(world))
    await _insert(warehouse, "events", _EVENT, _events(world))


async def _insert(warehouse: Warehouse, table: str, columns: list[str], rows: Iterable[list[Any]]) -> None:
    await warehouse.insert(table, columns, list(rows), {"max_partitions_per_insert_block": 0})


def _id(record: Any) -> int | None:
    return None if record is None else int(record.id)


_ANSWER = [
    "response_id",
    "school_id",
    "classroom_id",
    "session_id",
    "quiz_id",
    "quiz_version",
    "question_id",
    "student_id",
    "attempt_number",
    "choice",
    "correct",
    "score",
    "time_spent_ms",
    "submitted_at",
    "received_at",
    "batch",
]


def _answers(world: World) -> Iterable[list[Any]]:
    for row in world.answers:
        keys = [UUID(int=row.id), row.school.id, _id(row.classroom), row.session.id, row.quiz.id, 1]
        what = [row.question.id, row.student.id, row.attempt, row.choice, row.correct, row.score, row.time_ms]
        yield [*keys, *what, row.submitted_at, row.submitted_at, 1]


_EVENT = [
    "event_id",
    "school_id",
    "user_id",
    "classroom_id",
    "quiz_id",
    "session_id",
    "question_id",
    "event_name",
    "schema_version",
    "app",
    "occurred_at",
    "received_at",
    "props",
    "batch",
]


def _events(world: World) -> Iterable[list[Any]]:
    for row in world.events:
        keys = [UUID(int=row.id), row.school.id, _id(row.person), _id(row.classroom), _id(row.quiz), None, None]
        yield [*keys, row.name, 1, row.app, row.occurred_at, row.occurred_at, "{}", 1]


def _dimensions(world: World) -> Iterable[tuple[str, list[str], list[list[Any]]]]:
    made = START
    yield (
        "schools",
        ["id", "name", "time_zone", "external_id", "attrs", "created_at", "shared"],
        [[row.id, row.name, row.time_zone, row.external_id, "{}", made, True] for row in world.schools.values()],
    )
    yield (
        "users",
        ["id", "school_id", "role", "name", "external_id", "attrs", "created_at", "shared"],
        [_user(row, made) for row in world.people.values()],
    )
    yield (
        "classrooms",
        ["id", "school_id", "teacher_id", "name", "subject", "external_id", "created_at"],
        [
            [row.id, row.school.id, _id(row.teacher), row.name, row.subject, row.external_id, made]
            for row in world.classrooms.values()
        ],
    )
    yield (
        "enrolments",
        ["id", "school_id", "classroom_id", "user_id", "role", "valid_from", "valid_to"],
        [
            [row.id, row.school.id, row.classroom.id, row.person.id, row.role, row.valid_from, row.valid_to]
            for row in world.enrolments
        ],
    )
    yield from _content(world, made)
    yield from _sittings(world)


def _user(row: Person, made: datetime) -> list[Any]:
    return [row.id, row.school.id, row.role, row.name, row.external_id, "{}", made, True]


def _content(world: World, made: datetime) -> Iterable[tuple[str, list[str], list[list[Any]]]]:
    yield (
        "quizzes",
        ["id", "school_id", "title", "subject", "quiz_version", "external_id", "created_at"],
        [[row.id, _id(row.school), row.title, row.subject, 1, row.external_id, made] for row in world.quizzes.values()],
    )
    yield (
        "questions",
        [
            "id",
            "school_id",
            "title",
            "qtype",
            "options",
            "answer_key",
            "max_score",
            "skills",
            "external_id",
            "created_at",
        ],
        [
            [
                row.id,
                _id(row.school),
                row.title,
                row.qtype,
                json.dumps([]),
                row.answer_key,
                row.max_score,
                list(row.skills),
                row.external_id,
                made,
            ]
            for row in world.questions.values()
        ],
    )
    yield (
        "quiz_questions",
        ["id", "quiz_id", "quiz_version", "position", "question_id"],
        [[number, row.quiz.id, 1, row.position, row.question.id] for number, row in enumerate(entries(world), start=1)],
    )


def _sittings(world: World) -> Iterable[tuple[str, list[str], list[list[Any]]]]:
    yield (
        "quiz_sessions",
        ["id", "school_id", "classroom_id", "quiz_id", "quiz_version", "mode", "opened_at", "started_at", "ended_at"],
        [
            [
                row.id,
                row.school.id,
                _id(row.classroom),
                row.quiz.id,
                1,
                row.mode,
                row.started_at or START,
                row.started_at,
                row.ended_at,
            ]
            for row in world.sessions.values()
        ],
    )
    yield (
        "quiz_results",
        [
            "id",
            "school_id",
            "classroom_id",
            "session_id",
            "quiz_id",
            "student_id",
            "attempt_number",
            "score",
            "max_score",
            "submitted_at",
        ],
        [
            [
                row.id,
                row.school.id,
                _id(row.classroom),
                row.session.id,
                row.quiz.id,
                row.student.id,
                row.attempt,
                row.score,
                row.max_score,
                row.submitted_at,
            ]
            for row in world.results
        ],
    )
