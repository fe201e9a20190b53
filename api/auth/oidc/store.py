"""Accounts and the identities that an issuer vouches for; an identity is (issuer, subject), never an address."""

from __future__ import annotations

from typing import Any

from core.postgres import Connection

_USER = "u.id, u.school_id, u.role, u.name, u.email, u.username, u.external_id, u.created_at, u.disabled_at"
_LINKED = f"""
select {_USER} from external_identities e join users u on u.id = e.user_id
where e.issuer = %(issuer)s and e.subject = %(subject)s
"""
_LINK = """
insert into external_identities (issuer, subject, user_id) values (%(issuer)s, %(subject)s, %(user_id)s)
on conflict do nothing
"""


async def linked(connection: Connection, issuer: str, subject: str) -> dict[str, Any] | None:
    """The account of an identity."""
    cursor = await connection.execute(_LINKED, {"issuer": issuer, "subject": subject})
    return await cursor.fetchone()


async def link(connection: Connection, issuer: str, subject: str, user_id: int) -> None:
    """Keep whose an identity is."""
    await connection.execute(_LINK, {"issuer": issuer, "subject": subject, "user_id": user_id})


async def is_linked(connection: Connection, issuer: str, user_id: int) -> bool:
    """Whether the account belongs to an identity of the issuer already."""
    cursor = await connection.execute(
        "select 1 from external_identities where issuer = %(issuer)s and user_id = %(user_id)s",
        {"issuer": issuer, "user_id": user_id},
    )
    return await cursor.fetchone() is not None


async def lock(connection: Connection, issuer: str, subject: str) -> None:
    """Two log-ins of one new identity at once: one after the other."""
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%(key)s, 1))", {"key": f"{issuer} {subject}"}
    )
