"""Rows into the record by COPY: into a temporary table, then over to the real one; what is known already stays out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.errors import UniqueViolation

from core.postgres import Connection
from ingestion.failpoints import failpoint

Status = Literal["accepted", "duplicate", "conflict", "rejected"]

_STAGE = "create temp table if not exists {stage} on commit delete rows as select {columns} from {table} with no data"
_MOVE = "insert into {table} ({columns}) select {columns} from {stage} on conflict do nothing returning {key}"
_DIFFERENT = """
select event_id from staged_events s join events e using (event_id)
where (e.school_id, e.event_name, e.schema_version, e.user_id, e.classroom_id, e.quiz_id, e.session_id, e.question_id,
       e.props) is distinct from
      (s.school_id, s.event_name, s.schema_version, s.user_id, s.classroom_id, s.quiz_id, s.session_id, s.question_id,
       s.props)
"""


@dataclass(slots=True)
class EventRow:
    """A row of `events`, its fields are the columns. (Not frozen: many thousand are made in a second.)"""

    event_id: UUID
    school_id: int
    user_id: int | None
    classroom_id: int | None
    quiz_id: int | None
    session_id: int | None
    question_id: int | None
    event_name: str
    schema_version: int
    app: str | None
    occurred_at: datetime
    client_id: str | None
    props: str


EVENT_COLUMNS = tuple(field.name for field in fields(EventRow))
_COPY_EVENTS = f"copy events ({', '.join(EVENT_COLUMNS)}) from stdin"
_NULL = "\\N"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SPECIAL = re.compile(r"[\\\t\n\r]")


async def store_events(connection: Connection, rows: Sequence[EventRow]) -> list[Status]:
    """Insert events; for each whether it is new, known already, or contradicts the event that has its id."""
    first: dict[int, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.event_id.int, number)
    stored = {found.int for found in await move_in(connection, "events", "event_id", EVENT_COLUMNS, _text(rows, first))}
    different: set[int] = set()
    if len(stored) < len(first):
        cursor = await connection.execute(_DIFFERENT)
        different = {row["event_id"].int for row in await cursor.fetchall()}

    def status(number: int, row: EventRow) -> Status:
        key = row.event_id.int
        earlier = first[key]
        if number == earlier and key in stored:
            return "accepted"
        return "conflict" if key in different or row != rows[earlier] else "duplicate"

    return [status(number, row) for number, row in enumerate(rows)]


async def copy_events(connection: Connection, rows: Sequence[EventRow]) -> None:
    """Insert events that are likely to be new; raises `UniqueViolation` if one is not. Then nothing was written."""
    first = {row.event_id.int: number for number, row in enumerate(rows)}
    if len(first) < len(rows):
        raise UniqueViolation("an event stands twice in the group")
    async with connection.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
        await copy.write(_text(rows, first))


def _text(rows: Sequence[EventRow], numbers: dict[int, int]) -> str:
    """COPY's text of rows, ordered by id: two groups that hold the same events wait for each other, and never both."""
    return "".join([_line(rows[numbers[key]]) for key in sorted(numbers)])


def _line(row: EventRow) -> str:
    n, text = _NULL, row.props
    return (
        f"{row.event_id}\t{row.school_id}\t{n if row.user_id is None else row.user_id}\t"
        f"{n if row.classroom_id is None else row.classroom_id}\t{n if row.quiz_id is None else row.quiz_id}\t"
        f"{n if row.session_id is None else row.session_id}\t{n if row.question_id is None else row.question_id}\t"
        f"{escaped(row.event_name)}\t{row.schema_version}\t{row.app or n}\t{row.occurred_at}\t"
        f"{n if row.client_id is None else escaped(row.client_id)}\t{escaped(text)}\n"
    )


def escaped(text: str) -> str:
    """A text as COPY reads it."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text) if _SPECIAL.search(text) else text


async def move_in(
    connection: Connection, table: str, key: str, columns: Sequence[str], rows: Iterable[Sequence[Any]] | str
) -> set[UUID]:
    """COPY rows (or COPY's text of them) and insert those whose key is new; the keys of these."""
    names = {"table": table, "stage": f"staged_{table}", "columns": ", ".join(columns), "key": key}
    async with connection.cursor() as cursor:
        await cursor.execute(_STAGE.format(**names))
        async with cursor.copy("copy {stage} ({columns}) from stdin".format(**names)) as copy:
            if isinstance(rows, str):
                await copy.write(rows)
            else:
                for row in rows:
                    await copy.write_row(row)
        failpoint("staged")
        await cursor.execute(_MOVE.format(**names))
        return {found[key] for found in await cursor.fetchall()}
