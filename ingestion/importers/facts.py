"""Facts on their way in: each row is checked, gets its id and becomes one row of PostgreSQL's binary COPY."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from core.clock import epoch_ms
from ingestion.importers import binary
from ingestion.importers.binary import Fields, derived_uuid
from ingestion.importers.references import References
from ingestion.importers.rejects import Rejects
from ingestion.importers.rules import BadRow
from ingestion.importers.seen import SeenIds
from ingestion.importers.source import Chunk, Record
from ingestion.importers.tables import TABLES

Keyed: TypeAlias = tuple[datetime, bytes]
"""The moment whose month the row falls into, and its fields from the id on."""
_ints, _longs, _doubles = Fields(binary.int4), Fields(binary.int8), Fields(binary.float8)
_flags, _texts, _times = Fields(binary.boolean), Fields(binary.text), Fields(binary.timestamptz)
_milliseconds = Fields(lambda seconds: binary.int4(round(seconds * 1000)))


@dataclass
class Payload:
    """The rows of a chunk, encoded. `ids`: line → the source's own id; `moments`: one in each month that is needed."""

    file: str
    read: int
    total: int | None
    refused: int
    lines: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    moments: dict[tuple[int, int], datetime] = field(default_factory=dict)


def encode(table: str, chunk: Chunk, references: References, seen: SeenIds | None, rejects: Rejects) -> Payload:
    """Check and encode a chunk of responses or events; what does not fit goes to `rejects`."""
    payload = Payload(chunk.file, chunk.read, chunk.total, chunk.refused)
    key = _ENCODERS[table](chunk, references)
    head, (first, again) = (len(FACT_COLUMNS[table]) + 2).to_bytes(2, "big"), (_flags[False], _flags[True])
    moments, ids, lines, rows = payload.moments, payload.ids, payload.lines, payload.rows
    for line, row in zip(chunk.lines, chunk.rows, strict=True):
        try:
            moment, fields = key(row)
        except BadRow as error:
            payload.refused += 1
            value = row[TABLES[table].position(error.column)]
            rejects.add(chunk.file, line, error.column, value, str(error))
            continue
        moments[moment.year, moment.month] = moment
        repeated = seen is not None and seen.add(row[0])
        lines.append(line)
        ids.append(row[0])
        rows.append(head + binary.int4(line) + (again if repeated else first) + fields)
    return payload


def _responses(chunk: Chunk, references: References) -> Callable[[Record], Keyed]:
    found = _found("responses", chunk, references)
    sessions, quizzes, classrooms, questions, students = (
        found[name] for name in ("session_id", "quiz_id", "classroom_id", "question_id", "student_id")
    )
    sittings = {key: _sitting(session) for key, session in sessions.items() if session}

    def key(row: Record) -> Keyed:
        _, in_session, of_quiz, in_class, asked, by, attempt, choice, correct, score, spent, submitted = row
        try:
            session, sitting = sessions[in_session], sittings[in_session]
            question, student = questions[asked], students[by]
            classroom = classrooms[in_class] if in_class is not None else (session[2], session[1])
            quiz = quizzes[of_quiz][0] if of_quiz is not None else session[3]
        except KeyError:
            raise _unknown("responses", row, found) from None
        if student[1] != session[1]:
            raise BadRow("student_id", "is of another school than the session")
        if classroom[1] != session[1]:
            raise BadRow("classroom_id", "is of another school than the session")
        if quiz != session[3]:
            raise BadRow("quiz_id", "is not the session's quiz")
        if score is not None and (score := score / question[1]) > 1:
            raise BadRow("score", f"is more than the question's max_score ({question[1]:g})")
        opened, ms, start, fields = sitting
        return opened, b"".join(
            (
                derived_uuid(ms, f"{start}{question[0]}\x1f{student[0]}\x1f{attempt}"),
                fields,
                _longs[classroom[0]],
                _longs[question[0]],
                _longs[student[0]],
                _ints[attempt],
                _texts[choice],
                _flags[correct],
                _doubles[score],
                _milliseconds[spent],
                _times[submitted],
            )
        )

    return key


def _sitting(session: tuple[Any, ...]) -> tuple[datetime, int, str, bytes]:
    """What all responses of a session share: opened_at, its ms, the start of the id's name, four fields."""
    identifier, school, _, quiz, quiz_version, opened = session
    fields = _longs[school] + _longs[identifier] + _longs[quiz] + _ints[quiz_version]
    return opened, epoch_ms(opened), f"{identifier}\x1f", fields


def _events(chunk: Chunk, references: References) -> Callable[[Record], Keyed]:
    found = _found("events", chunk, references)
    users, classrooms, sessions = found["user_id"], found["classroom_id"], found["session_id"]
    quizzes, questions = found["quiz_id"], found["question_id"]

    def key(row: Record) -> Keyed:
        source_id, name, app, by, of_quiz, in_class, props, occurred, in_session, asked = row
        try:
            user = users[by] if by is not None else _NOBODY
            classroom = classrooms[in_class] if in_class is not None else _NOBODY
            session = sessions[in_session] if in_session is not None else _NOBODY
            quiz = quizzes[of_quiz][0] if of_quiz is not None else None
            question = questions[asked][0] if asked is not None else None
        except KeyError:
            raise _unknown("events", row, found) from None
        school = user[1] or classroom[1] or session[1]
        if school is None:
            raise BadRow("user_id", "is empty, and so are classroom_id and session_id: the school is not known")
        if classroom[1] not in (None, school) or session[1] not in (None, school):
            raise BadRow("classroom_id", "is of another school than the user or the session")
        client = f"{references.source}:{source_id}"
        return occurred, b"".join(
            (
                derived_uuid(epoch_ms(occurred), f"{school}\x1f{client}"),
                _longs[school],
                _longs[user[0]],
                _longs[classroom[0]],
                _longs[quiz],
                _longs[session[0]],
                _longs[question],
                _texts[name],
                _texts[app],
                binary.timestamptz(occurred),
                binary.text(client),
                binary.jsonb(props),
            )
        )

    return key


_NOBODY: tuple[Any, ...] = (None, None)
_ENCODERS: dict[str, Callable[[Chunk, References], Callable[[Record], Keyed]]] = {
    "responses": _responses,
    "events": _events,
}
FACT_COLUMNS: dict[str, dict[str, str]] = {
    "responses": {
        "response_id": "uuid",
        "school_id": "bigint",
        "session_id": "bigint",
        "quiz_id": "bigint",
        "quiz_version": "int",
        "classroom_id": "bigint",
        "question_id": "bigint",
        "student_id": "bigint",
        "attempt_number": "int",
        "choice": "text",
        "correct": "boolean",
        "score": "double precision",
        "time_spent_ms": "int",
        "submitted_at": "timestamptz",
    },
    "events": {
        "event_id": "uuid",
        "school_id": "bigint",
        "user_id": "bigint",
        "classroom_id": "bigint",
        "quiz_id": "bigint",
        "session_id": "bigint",
        "question_id": "bigint",
        "event_name": "text",
        "app": "text",
        "occurred_at": "timestamptz",
        "client_id": "text",
        "props": "jsonb",
    },
}
"""The columns that an import writes, in the order of the encoders, with their types; the first is the primary key."""


def _found(table: str, chunk: Chunk, references: References) -> dict[str, dict[str, tuple[Any, ...]]]:
    """For each column that refers: the source's ids in the chunk → the record's rows, as far as there are any."""
    found = {}
    for place, column in enumerate(TABLES[table].columns):
        if column.refers:
            keys = {row[place] for row in chunk.rows}
            known = references.find(column.refers, keys)
            found[column.name] = {key: known[key] for key in keys if key in known}
    return found


def _unknown(table: str, row: Record, found: dict[str, dict[str, tuple[Any, ...]]]) -> BadRow:
    return next(_unknowns(table, row, found))


def _unknowns(table: str, row: Record, found: dict[str, dict[str, tuple[Any, ...]]]) -> Iterator[BadRow]:
    for column, value in zip(TABLES[table].columns, row, strict=True):
        if column.refers and value is not None and value not in found[column.name]:
            yield BadRow(column.name, f"is not among the {column.refers}")
