"""What a table demands beyond its cells: rows that fit together, and columns worked out from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ingestion.importers.tables import LONG_AGO, Table

Values: TypeAlias = Mapping[str, Any]
"""The cells of a row by column, references replaced by the record's rows."""


class BadRow(ValueError):
    """A row whose cells do not fit together. `column` names the one to look at."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def derive(table: Table, row: Values) -> tuple[Any, ...]:
    """The derived columns of a row, in the table's order; raises `BadRow`."""
    rule = _RULES.get(table.name)
    return rule(row) if rule else ()


def _classroom(row: Values) -> tuple[Any, ...]:
    teacher = row["teacher_id"]
    if teacher and teacher[1] != row["school_id"][1]:
        raise BadRow("teacher_id", "is of another school than the classroom")
    return ()


def _enrolment(row: Values) -> tuple[Any, ...]:
    school = row["classroom_id"][1]
    if row["user_id"][1] != school:
        raise BadRow("user_id", "is of another school than the classroom")
    return school, LONG_AGO


def _quiz_question(_: Values) -> tuple[Any, ...]:
    return (1,)


def _session(row: Values) -> tuple[Any, ...]:
    """`opened_at` is the time from which response ids are made: the start, or 1970 where it is not known."""
    started, ended = row["started_at"], row["ended_at"]
    if started and ended and ended < started:
        raise BadRow("ended_at", "is before started_at")
    return row["classroom_id"][1], "imported", started or LONG_AGO


def _result(row: Values) -> tuple[Any, ...]:
    session = row["session_id"]
    if row["student_id"][1] != session[1]:
        raise BadRow("student_id", "is of another school than the session")
    if row["quiz_id"][0] != session[3]:
        raise BadRow("quiz_id", "is not the session's quiz")
    if row["score"] > row["max_score"]:
        raise BadRow("score", "is more than max_score")
    return (session[1],)


_RULES: dict[str, Callable[[Values], tuple[Any, ...]]] = {
    "classrooms": _classroom,
    "enrollments": _enrolment,
    "quiz_questions": _quiz_question,
    "sessions": _session,
    "quiz_results": _result,
}
