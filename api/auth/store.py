"""Accounts in the record."""

from __future__ import annotations

from typing import Any

from psycopg.errors import UniqueViolation

from api.sql import written
from core.errors import Conflict
from core.postgres import Connection

_USER = "id, school_id, role, name, email, username, external_id, consent, created_at"
_CREDENTIALS = f"{_USER}, password_hash, email_source, email_verified_at, one_time_until, disabled_at, language"
_GIVEN: dict[str, Any] = {
    "external_id": None,
    "username": None,
    "email_source": "school",
    "email_verified_at": None,
    "one_time_until": None,
    "language": None,
    "consent": None,
}
_INSERT_USER = f"""
insert into users (school_id, role, name, email, password_hash, {", ".join(_GIVEN)})
values (%(school_id)s, %(role)s, %(name)s, %(email)s, %(password_hash)s,
        {", ".join(f"%({name})s" for name in _GIVEN)})
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
        return await written(connection, _INSERT_USER, _GIVEN | values)
    except UniqueViolation:
        raise Conflict("That e-mail address is taken.", code="email_taken") from None


async def user_by_email(connection: Connection, email: str) -> dict[str, Any] | None:
    """The account of an address or a user name (`addresses.login_name`), with what decides on its log-in."""
    place = "lower(email) = lower(%(email)s)" if "@" in email else "username = %(email)s"
    cursor = await connection.execute(f"select {_CREDENTIALS} from users where {place}", {"email": email})
    return await cursor.fetchone()


async def user_by_id(connection: Connection, user_id: int) -> dict[str, Any] | None:
    """The account, with what decides on its log-in."""
    cursor = await connection.execute(f"select {_CREDENTIALS} from users where id = %(id)s", {"id": user_id})
    return await cursor.fetchone()


async def hold_password(connection: Connection, user_id: int, password_hash: str) -> bool:
    """Whether it is still the password's hash of an open account; nobody replaces it until the transaction ends."""
    cursor = await connection.execute(
        """select 1 from users where id = %(id)s and password_hash = %(hash)s and disabled_at is null
           for no key update""",
        {"id": user_id, "hash": password_hash},
    )
    return await cursor.fetchone() is not None


async def keep_hash(connection: Connection, user_id: int, password_hash: str) -> None:
    """Replace the password's hash; what is kept now is no one-time password."""
    await connection.execute(
        "update users set password_hash = %(hash)s, one_time_until = null where id = %(id)s",
        {"hash": password_hash, "id": user_id},
    )


async def prove_address(connection: Connection, user_id: int) -> None:
    """The owner has shown that the address is his."""
    await connection.execute(
        "update users set email_verified_at = coalesce(email_verified_at, now()) where id = %(id)s", {"id": user_id}
    )
