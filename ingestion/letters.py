"""What could not be taken: kept with its reason, found again, mended, played again, and settled.

A letter is what came, whose it was and why it was refused; `fixed` is what somebody made of it. Played again it means
what it meant then: the same sender, the moment at which it came first, and an id of its own where the app gave none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from core.postgres import Connection, Postgres

Kind = Literal["event", "response"]
_MOST_BYTES = 16_384
_SHOWN_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was refused at the door; `reason` is a stable code, a colon, and a sentence."""

    school_id: int | None
    reason: str
    payload: str
    kind: Kind = "event"
    field: str | None = None
    user_id: int | None = None
    sender_id: int | None = None
    sender_role: str | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter in the record."""

    id: int
    school_id: int | None
    stage: str
    kind: Kind
    reason: str
    code: str
    field: str | None
    payload: Any
    fixed: Any
    user_id: int | None
    sender_id: int | None
    sender_role: str | None
    event_id: UUID | None
    received_at: datetime
    fixed_at: datetime | None
    replays: int
    replayed_at: datetime | None
    outcome: Any
    state: Literal["open", "settled"]

    @property
    def said(self) -> Any:
        """What is played again: the mended payload, or what came."""
        return self.payload if self.fixed is None else self.fixed


_COLUMNS = ", ".join(Letter.__dataclass_fields__)
_INSERT = """
insert into dead_letters (school_id, stage, reason, payload, kind, field, user_id, sender_id, sender_role, event_id)
values (%s, 'accept', %s, %s, %s, %s, %s, %s, %s, %s)
"""
_MATCHES = """
(%(school_id)s::bigint is null or school_id = %(school_id)s)
and (%(id)s::bigint is null or id = %(id)s)
and (%(code)s::text is null or code = %(code)s)
and (%(stage)s::text is null or stage = %(stage)s)
and (%(kind)s::text is null or kind = %(kind)s)
and (%(user_id)s::bigint is null or user_id = %(user_id)s or sender_id = %(user_id)s)
and (%(state)s::text is null or state = %(state)s)
and (%(start)s::timestamptz is null or received_at >= %(start)s)
and (%(stop)s::timestamptz is null or received_at < %(stop)s)
"""
_FIX = """
update dead_letters set fixed = %(fixed)s, fixed_by = %(by)s, fixed_at = now()
where id = %(id)s and state = 'open'
"""
_SETTLE = """
update dead_letters set replays = replays + 1, replayed_by = %(by)s, replayed_at = now(), outcome = %(outcome)s,
       state = %(state)s
where id = %(id)s and state = 'open'
"""
_PRUNE = "delete from dead_letters where received_at < now() - %(kept)s"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; None: whatever it is."""

    school_id: int | None = None
    id: int | None = None
    code: str | None = None
    stage: str | None = None
    kind: str | None = None
    user_id: int | None = None
    state: str | None = "open"
    start: datetime | None = None
    stop: datetime | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the query."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


async def store_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep what was refused at the door."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _INSERT,
            [
                (
                    each.school_id, each.reason, each.payload, each.kind, each.field, each.user_id, each.sender_id,
                    each.sender_role, each.event_id,
                )
                for each in letters
            ],
        )  # fmt: skip


async def find(postgres: Postgres, wanted: Wanted, limit: int, offset: int = 0) -> list[Letter]:
    """Letters, the newest first."""
    rows = await postgres.fetch(
        f"select {_COLUMNS} from dead_letters where {_MATCHES} order by id desc limit %(limit)s offset %(offset)s",
        wanted.values | {"limit": limit, "offset": offset},
    )
    return [Letter(**row) for row in rows]


async def find_after(postgres: Postgres, wanted: Wanted, after: int, limit: int) -> list[Letter]:
    """Letters with an id above `after`, the oldest first: a walk over all of them."""
    rows = await postgres.fetch(
        f"select {_COLUMNS} from dead_letters where {_MATCHES} and id > %(after)s order by id limit %(limit)s",
        wanted.values | {"limit": limit, "after": after},
    )
    return [Letter(**row) for row in rows]


async def count_by_code(postgres: Postgres, wanted: Wanted) -> dict[str, int]:
    """How many there are of each reason, the most first."""
    query = f"select code, count(*) as n from dead_letters where {_MATCHES} group by code order by n desc, code"
    return {row["code"]: row["n"] for row in await postgres.fetch(query, wanted.values)}


async def fix(connection: Connection, letter_id: int, payload: Any, by: int | None) -> bool:
    """Keep a mended payload beside what came; False if the letter is settled or gone."""
    values = {"id": letter_id, "fixed": Jsonb(payload), "by": by}
    return (await connection.execute(_FIX, values)).rowcount == 1


async def settle(
    connection: Connection, letter_id: int, outcome: Mapping[str, Any], settled: bool, by: int | None
) -> None:
    """Note what became of a letter that was played again; settled: it is in the record now."""
    state = "settled" if settled else "open"
    values = {"id": letter_id, "outcome": Jsonb(dict(outcome)), "state": state, "by": by}
    await connection.execute(_SETTLE, values)


async def prune(postgres: Postgres, kept: timedelta) -> int:
    """Delete what has lain here for longer; how many."""
    async with postgres.transaction() as connection:
        return (await connection.execute(_PRUNE, {"kept": kept})).rowcount


def payload_of(item: Any) -> str:
    """An item as JSON that Postgres takes, cut where it is too long."""
    try:
        text = msgspec.json.encode(item).decode()
        if len(text) <= _MOST_BYTES and "\\u0000" not in text:
            return text
    except (ValueError, TypeError, RecursionError, OverflowError):
        text = repr(item)
    safe = text[:_SHOWN_BYTES].encode("utf-8", "replace").decode()
    return msgspec.json.encode({"unreadable": safe.replace("\\u0000", "?").replace("\x00", "?")}).decode()


def person_of(item: Any, name: str = "user_id") -> int | None:
    """The person whom a refused item names, as far as that can be read."""
    found = item.get(name) if isinstance(item, dict) else getattr(item, name, None)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found < 2**63 else None
