"""Rows into the record by COPY: into a temporary table, then over to the real one; what is known already stays out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of `events`, its fields are the columns."""

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
_event_values = attrgetter(*EVENT_COLUMNS)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be taken, with the reason."""

    school_id: int | None
    reason: str
    payload: str


async def store_events(connection: Connection, rows: Sequence[EventRow]) -> list[Status]:
    """Insert events; for each whether it is new, known already, or contradicts the event that has its id."""
    first: dict[UUID, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.event_id, number)
    unique = (_event_values(rows[number]) for number in first.values())
    stored = await move_in(connection, "events", "event_id", EVENT_COLUMNS, unique)
    different: set[UUID] = set()
    if len(stored) < len(first):
        cursor = await connection.execute(_DIFFERENT)
        different = {row["event_id"] for row in await cursor.fetchall()}

    def status(number: int, row: EventRow) -> Status:
        earlier = first[row.event_id]
        if number == earlier and row.event_id in stored:
            return "accepted"
        return "conflict" if row.event_id in different or row != rows[earlier] else "duplicate"

    return [status(number, row) for number, row in enumerate(rows)]


async def move_in(
    connection: Connection, table: str, key: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> set[UUID]:
    """COPY rows and insert those whose key is new; the keys of these."""
    names = {"table": table, "stage": f"staged_{table}", "columns": ", ".join(columns), "key": key}
    async with connection.cursor() as cursor:
        await cursor.execute(_STAGE.format(**names))
        async with cursor.copy("copy {stage} ({columns}) from stdin".format(**names)) as copy:
            for row in rows:
                await copy.write_row(row)
        failpoint("staged")
        await cursor.execute(_MOVE.format(**names))
        return {found[key] for found in await cursor.fetchall()}


async def store_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep what was refused at the door."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "insert into dead_letters (school_id, stage, reason, payload) values (%s, 'accept', %s, %s)",
            [(letter.school_id, letter.reason, letter.payload) for letter in letters],
        )
