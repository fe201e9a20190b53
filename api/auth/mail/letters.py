"""Letters that wait: who and what about. A letter holds no secret; its token is made when it is sent.

One of a kind waits for an address: wishing it again while it waits is the same wish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from core.ids import new_id
from core.postgres import Connection, Postgres

Kind = Literal["verify_email", "reset_password", "welcome", "invitation", "password_changed"]
_LEASE = "5 minutes"
"""After so long a letter whose sender died is taken by another."""
_WRITE = """
insert into letters (id, kind, email, language, invitation_id, expires_at)
values (%(id)s, %(kind)s, %(email)s, %(language)s, %(invitation_id)s, now() + make_interval(days => %(days)s))
on conflict do nothing
"""
_CLAIM = f"""
update letters set tries = tries + 1, next_try_at = now() + interval '{_LEASE}'
where id in (select id from letters where next_try_at <= now() order by next_try_at limit %(most)s
             for update skip locked)
returning id, kind, email, language, invitation_id, tries, expires_at
"""


@dataclass(frozen=True)
class Letter:
    """A mail to write; `invitation_id` of an invitation only."""

    id: UUID
    kind: Kind
    email: str
    language: str | None
    invitation_id: UUID | None
    tries: int
    expires_at: Any


async def write(
    connection: Connection,
    kind: Kind,
    email: str,
    language: str | None = None,
    *,
    days: int = 1,
    invitation_id: str | None = None,
) -> None:
    """Put a letter among those that wait."""
    values = {"id": new_id(), "kind": kind, "email": email, "language": language, "days": days}
    await connection.execute(_WRITE, values | {"invitation_id": invitation_id})


async def claim(postgres: Postgres, most: int) -> list[Letter]:
    """Letters that are due, for this sender alone for a while."""
    return [Letter(**row) for row in await postgres.fetch(_CLAIM, {"most": most})]


async def remove(postgres: Postgres, letter: Letter) -> None:
    """It was sent, or there is no use in it any more."""
    await postgres.fetch("delete from letters where id = %(id)s", {"id": letter.id})


async def postpone(postgres: Postgres, letter: Letter, seconds: float) -> None:
    """Try it again later."""
    await postgres.fetch(
        "update letters set next_try_at = now() + make_interval(secs => %(seconds)s) where id = %(id)s",
        {"id": letter.id, "seconds": seconds},
    )
