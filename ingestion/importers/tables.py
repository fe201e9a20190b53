"""The normalized tables of the import format: their columns, what a cell may hold and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

KINDS = {
    "key": "text",
    "text": "text",
    "integer": "int",
    "number": "double precision",
    "flag": "boolean",
    "moment": "timestamptz",
    "object": "jsonb",
    "options": "jsonb",
    "texts": "text[]",
    "choice": "text",
    "zone": "text",
    "address": "text",
}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Column:
    """One column. `to`: its name in the record ("" = not stored); `refers`: the table whose id the cell holds;
    `default`: what an empty cell means; `extra`: may be missing from a header; `internal`: never read from a file."""

    name: str
    kind: str = "text"
    required: bool = False
    to: str | None = None
    refers: str | None = None
    default: Any = None
    limit: int = 200
    least: float | None = None
    most: float = 2**31 - 1
    choices: tuple[str, ...] = ()
    extra: bool = False
    internal: bool = False

    @property
    def target(self) -> str:
        """The column of the record."""
        return self.name if self.to is None else self.to

    @property
    def sql_type(self) -> str:
        """The type in Postgres."""
        return "bigint" if self.refers else KINDS[self.kind]


@dataclass(frozen=True)
class Table:
    """One table of the format. `key`: the columns that name a row within the folder; `target`: the record's table;
    `derived`: columns that a rule works out, with their types; `fixed`: columns that are set with a new row and
    never after (how somebody logs in is his own affair)."""

    name: str
    target: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    derived: tuple[tuple[str, str], ...] = ()
    fixed: tuple[str, ...] = ()

    def position(self, column: str) -> int:
        """Where the column stands in a record of this table."""
        return [each.name for each in self.columns].index(column)


def _key(name: str, limit: int = 200) -> Column:
    return Column(name, "key", required=True, to="", limit=limit)


def _ref(name: str, table: str, *, required: bool = False, to: str | None = None, extra: bool = False) -> Column:
    return Column(name, "key", required=required, refers=table, to=to, extra=extra)


_NAME = Column("name", required=True)
_EXTERNAL = Column("external_id")
_ATTRS = Column("attrs", "object", default="{}")
_SUBJECT = Column("subject")
_ATTEMPT = Column("attempt_number", "integer", default=1, least=1)
_ROLES = ("student", "teacher", "admin")
_QTYPES = ("single_choice", "multiple_select", "true_false", "numeric", "free_text", "scored_item")
_APPS = ("whiteboard", "notebook", "server", "import")

_ALL = (
    Table(
        "schools",
        "schools",
        ("school_id",),
        (
            _key("school_id"),
            _NAME,
            _EXTERNAL,
            _ATTRS,
            Column("time_zone", "zone", default="UTC", limit=64, extra=True),
        ),
    ),
    Table(
        "users",
        "users",
        ("user_id",),
        (
            _key("user_id"),
            Column("role", "choice", required=True, choices=_ROLES),
            _ref("school_id", "schools", required=True),
            _NAME,
            _EXTERNAL,
            _ATTRS,
            Column("email", "address", extra=True),
            Column("password_hash", internal=True, extra=True),
        ),
        fixed=("email", "password_hash"),
    ),
    Table(
        "classrooms",
        "classrooms",
        ("classroom_id",),
        (
            _key("classroom_id"),
            _ref("school_id", "schools", required=True),
            _ref("teacher_id", "users"),
            _NAME,
            _SUBJECT,
            _EXTERNAL,
        ),
    ),
    Table(
        "enrollments",
        "enrolments",
        ("classroom_id", "user_id"),
        (
            _ref("classroom_id", "classrooms", required=True),
            _ref("user_id", "users", required=True),
            Column("role", "choice", default="student", choices=("student", "teacher")),
        ),
        derived=(("school_id", "bigint"), ("valid_from", "timestamptz")),
        fixed=("valid_from",),
    ),
    Table(
        "questions",
        "questions",
        ("question_id",),
        (
            _key("question_id"),
            Column("title", required=True, limit=4000),
            Column("qtype", "choice", default="single_choice", choices=_QTYPES),
            Column("options", "options", default="[]"),
            Column("correct_answer", to="answer_key", limit=4000),
            Column("max_score", "number", default=1.0, least=1e-300),
            Column("skills", "texts", default=()),
            _EXTERNAL,
        ),
    ),
    Table(
        "quizzes",
        "quizzes",
        ("quiz_id",),
        (
            _key("quiz_id"),
            Column("title", required=True, limit=300),
            _SUBJECT,
            _ref("created_by", "users"),
            _EXTERNAL,
            _ATTRS,
        ),
    ),
    Table(
        "quiz_questions",
        "quiz_questions",
        ("quiz_id", "position", "question_id"),
        (
            _ref("quiz_id", "quizzes", required=True),
            Column("position", "integer", required=True, least=1),
            _ref("question_id", "questions", required=True),
        ),
        derived=(("quiz_version", "int"),),
    ),
    Table(
        "sessions",
        "quiz_sessions",
        ("session_id",),
        (
            _key("session_id"),
            _ref("quiz_id", "quizzes", required=True),
            _ref("classroom_id", "classrooms", required=True),
            Column("started_at", "moment"),
            Column("ended_at", "moment"),
        ),
        derived=(("school_id", "bigint"), ("mode", "text"), ("opened_at", "timestamptz")),
        fixed=("opened_at", "mode"),
    ),
    Table(
        "quiz_results",
        "quiz_results",
        ("result_id",),
        (
            _key("result_id"),
            _ref("session_id", "sessions", required=True),
            _ref("quiz_id", "quizzes", required=True),
            _ref("classroom_id", "classrooms"),
            _ref("student_id", "users", required=True),
            _ATTEMPT,
            Column("score", "number", required=True, least=0),
            Column("max_score", "number", required=True, least=1e-300),
            Column("submitted_at", "moment"),
        ),
        derived=(("school_id", "bigint"),),
    ),
    Table(
        "responses",
        "responses",
        ("response_id",),
        (
            _key("response_id"),
            _ref("session_id", "sessions", required=True),
            _ref("quiz_id", "quizzes"),
            _ref("classroom_id", "classrooms"),
            _ref("question_id", "questions", required=True),
            _ref("student_id", "users", required=True),
            _ATTEMPT,
            Column("answer", limit=4000),
            Column("correct", "flag"),
            Column("score", "number", least=0),
            Column("time_spent", "number", least=0, most=2_000_000),
            Column("submitted_at", "moment", required=True),
        ),
    ),
    Table(
        "events",
        "events",
        ("event_id",),
        (
            _key("event_id", limit=100),
            Column("event_name", required=True, limit=100),
            Column("app", "choice", choices=_APPS),
            _ref("user_id", "users"),
            _ref("quiz_id", "quizzes"),
            _ref("classroom_id", "classrooms"),
            Column("metadata", "object", default="{}"),
            Column("timestamp", "moment", required=True),
            _ref("session_id", "sessions", extra=True),
            _ref("question_id", "questions", extra=True),
        ),
    ),
)
TABLES: dict[str, Table] = {table.name: table for table in _ALL}
"""In the order in which they are imported: what is referred to comes first."""
FACTS = ("responses", "events")
