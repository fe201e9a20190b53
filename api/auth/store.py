"""Accounts in the record."""

from __future__ import annotations

from typing import Any

from psycopg.errors import UniqueViolation

from api.sql import written
from core.errors import Conflict
from core.postgres import Connection

_USER = "id, school_id, role, name, email, external_id, consent, created_at"
_INSERT_USER = f"""
insert into users (school_id, role, name, email, password_hash, external_id, consent)
values (%(school_id)s, %(role)s, %(name)s, %(email)s, %(password_hash)s, %(external_id)s, %(consent)s)
returning {_USER}
"""


async def insert_school(connection: Connection, name: str, time_zone: str) -> int:
    """A new school; its id."""
    statement = "insert into schools (name, time_zone) values (%(name)s, %(time_zone)s) returning id"
    return int((await written(connection, statement, {"name": name, "time_zone": time_zone}))["id"])


async def school_exists(connection: Connection, school_id: int) -> bool:
    """Whether there is such a school."""
    cursor = await connection.execute("select 1 from schools where id = %(id)s", {"id": school_id})
    return await cursor.fetchone() is not None


async def insert_user(connection: Connection, **values: Any) -> dict[str, Any]:
    """A new account; raises `Conflict` when the address is taken."""
    try:
        return await written(connection, _INSERT_USER, {"external_id": None, "consent": None, **values})
    except UniqueViolation:
        raise Conflict("That e-mail address is taken.", code="email_taken") from None


async def user_by_email(connection: Connection, email: str) -> dict[str, Any] | None:
    """The account of an address, with its password hash."""
    cursor = await connection.execute(
        f"select {_USER}, password_hash from users where lower(email) = %(email)s",
        {"email": email.lower()},
    )
    return await cursor.fetchone()


async def keep_hash(connection: Connection, user_id: int, password_hash: str) -> None:
    """Replace the password's hash."""
    await connection.execute(
        "update users set password_hash = %(hash)s where id = %(id)s", {"hash": password_hash, "id": user_id}
    )
