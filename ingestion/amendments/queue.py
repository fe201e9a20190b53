"""The queue of amendments in the record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from psycopg.types.json import Jsonb

from core.errors import Conflict
from core.postgres import Connection, Postgres
from ingestion.batches import Blocking

State: TypeAlias = Literal["waiting", "held", "sending", "settling", "done", "failed"]
Kind: TypeAlias = Literal["erasure", "regrade"]
SETTLE_SECONDS = 180
"""Longer than a request may take and than a server remembers whose number is good."""

COLUMNS = """id, kind, subject, school_id, state, asked_by, asked_role, asked_at, settle_seconds, details, work,
settle_until, applied_at, finished_at, result, encode(hash, 'hex') as hash"""
_OPEN = f"select {COLUMNS} from amendments where state not in ('done', 'failed') order by id limit 200"
_SUMMARY = """
select kind, state, count(*) as n from amendments where state not in ('done', 'failed') group by 1, 2 order by 1, 2
"""
_ASK = f"""
insert into amendments (kind, subject, school_id, asked_by, asked_role, settle_seconds, details)
values (%(kind)s, %(subject)s, %(school_id)s, %(asked_by)s, %(asked_role)s, %(settle_seconds)s, %(details)s)
returning {COLUMNS}
"""
_MOVE = """
update amendments set state = %(to)s, work = coalesce(%(work)s, work),
       applied_at = case when %(to)s = 'settling' then coalesce(applied_at, clock_timestamp()) else applied_at end,
       settle_until = case when %(to)s = 'settling' and settle_until is null
                           then clock_timestamp() + settle_seconds * interval '1 second' else settle_until end
where id = %(id)s and state = %(of)s returning id
"""
_FINISH = """
update amendments set state = %(to)s, work = '{}', result = %(result)s, hash = %(hash)s, finished_at = %(at)s
where id = %(id)s and state = %(of)s returning id
"""
_SETTLED = "select clock_timestamp() >= %s as past"


@dataclass(frozen=True, slots=True)
class Amendment:
    """One wish: `subject` is the person's or the question's number; `work` is what the next step needs."""

    id: int
    kind: Kind
    subject: int
    school_id: int | None
    state: State
    asked_by: int | None
    asked_role: str
    asked_at: datetime
    settle_seconds: int
    details: dict[str, Any]
    work: dict[str, Any]
    settle_until: datetime | None
    applied_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    hash: str | None


async def summary(postgres: Postgres) -> dict[str, int]:
    """How many amendments are open, by kind and state: `{"erasure held": 1}`."""
    rows = await postgres.fetch(_SUMMARY)
    return {f"{row['kind']} {row['state']}": row["n"] for row in rows}


def open_amendments(connection: Blocking) -> list[Amendment]:
    """What is not done yet, the oldest first."""
    return [Amendment(**row) for row in connection.execute(_OPEN).fetchall()]


async def ask(
    connection: Connection,
    kind: Kind,
    subject: int,
    school_id: int | None,
    by: tuple[int | None, str],
    *,
    settle_seconds: int = SETTLE_SECONDS,
    **details: Any,
) -> Amendment:
    """Put a wish into the queue, in the caller's transaction; `by` is who asks, and his role."""
    values = {"kind": kind, "subject": subject, "school_id": school_id, "asked_by": by[0], "asked_role": by[1]}
    told = {"settle_seconds": settle_seconds, "details": Jsonb(details)}
    row = await (await connection.execute(_ASK, values | told)).fetchone()
    return Amendment(**(row or {}))


def move(connection: Blocking, amendment: Amendment, to: State, work: dict[str, Any] | None = None) -> None:
    """The next state; raises `Conflict` when somebody else has moved it."""
    values = {"id": amendment.id, "of": amendment.state, "to": to, "work": None if work is None else Jsonb(work)}
    if connection.execute(_MOVE, values).fetchone() is None:
        raise Conflict("The amendment has been moved by another loader.", amendment=amendment.id)


def finish(
    connection: Blocking,
    amendment: Amendment,
    result: dict[str, Any],
    digest: bytes,
    at: datetime,
    to: State = "done",
) -> None:
    """The end: what was done, and its hash."""
    values = {"id": amendment.id, "of": amendment.state, "to": to, "at": at}
    if connection.execute(_FINISH, {**values, "result": Jsonb(result), "hash": digest}).fetchone() is None:
        raise Conflict("The amendment has been moved by another loader.", amendment=amendment.id)


def has_settled(connection: Blocking, amendment: Amendment) -> bool:
    """Whether what was under way when it was asked has come in by now."""
    rows = connection.execute(_SETTLED, (amendment.settle_until,)).fetchall()
    return bool(rows[0]["past"])
