"""The SQL of lists of accounts; one list of a school at a time."""

from __future__ import annotations

from typing import Any

from core.postgres import Connection

_KNOWN = """
select id, school_id, role, lower(email) as email, external_id, coalesce(email, username) as login from users
where lower(email) = any(%(emails)s) or school_id = %(school_id)s and external_id = any(%(external_ids)s)
"""
_INSERT = """
insert into users (school_id, role, name, email, username, external_id, password_hash, one_time_until, language)
values (%(school_id)s, %(role)s, %(name)s, %(email)s, %(username)s, %(external_id)s, %(password_hash)s,
        %(one_time_until)s, %(language)s)
on conflict do nothing
returning id, school_id, role, lower(email) as email, external_id, coalesce(email, username) as login
"""
_ENROL = """
insert into enrolments (school_id, classroom_id, user_id, role)
values (%(school_id)s, %(classroom_id)s, %(user_id)s, %(role)s) on conflict do nothing returning id
"""


async def lock(connection: Connection, school_id: int) -> None:
    """Until the transaction ends no other list of this school is worked on."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('accounts', %(id)s))", {"id": school_id})


async def known(
    connection: Connection, school_id: int, emails: list[str], external_ids: list[str]
) -> list[dict[str, Any]]:
    """The accounts with one of the addresses, or with one of the ids in this school."""
    values = {"school_id": school_id, "emails": emails, "external_ids": external_ids}
    cursor = await connection.execute(_KNOWN, values)
    return await cursor.fetchall()


async def insert(connection: Connection, **values: Any) -> dict[str, Any] | None:
    """A new account, or None when its address or its user name was taken a moment ago."""
    cursor = await connection.execute(_INSERT, values)
    return await cursor.fetchone()


async def enrol(connection: Connection, **values: Any) -> bool:
    """Into the classroom; False when it is there already."""
    cursor = await connection.execute(_ENROL, values)
    return await cursor.fetchone() is not None


async def classrooms(connection: Connection, school_id: int, wanted: list[int]) -> set[int]:
    """Which of these classrooms the school has."""
    cursor = await connection.execute(
        "select id from classrooms where school_id = %(school_id)s and id = any(%(ids)s)",
        {"school_id": school_id, "ids": wanted},
    )
    return {row["id"] for row in await cursor.fetchall()}
