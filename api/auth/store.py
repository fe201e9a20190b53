"""Accounts and log-ins in the record; a log-in is one family of refresh tokens, of which only a hash is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from api.sql import written
from core.errors import Conflict
from core.postgres import Connection
from core.telemetry import log

_USER = "id, school_id, role, name, email, username, external_id, created_at"
_CREDENTIALS = f"{_USER}, password_hash, email_source, email_verified_at, one_time_until, disabled_at, language"
_GIVEN: dict[str, Any] = {
    "external_id": None,
    "username": None,
    "email_source": "school",
    "email_verified_at": None,
    "one_time_until": None,
    "language": None,
}
_INSERT_USER = f"""
insert into users (school_id, role, name, email, password_hash, {", ".join(_GIVEN)})
values (%(school_id)s, %(role)s, %(name)s, %(email)s, %(password_hash)s,
        {", ".join(f"%({name})s" for name in _GIVEN)})
returning {_USER}
"""
_END_LOG_INS = """
with ended as (
    update login_sessions set revoked_at = now(), revoked_reason = %(reason)s
    where user_id = %(user_id)s and revoked_at is null and id is distinct from %(but)s returning id, expires_at
)
insert into revocations (kind, subject, keep_until) select 'session', id::text, expires_at from ended
"""
_OPEN = """
insert into login_sessions (id, user_id, token_hash, created_at, refreshed_at, expires_at)
values (%(id)s, %(user_id)s, %(token_hash)s, %(now)s, %(now)s, %(expires_at)s)
"""
_SESSION = """
select s.id, s.user_id, s.token_hash, s.created_at, s.expires_at, s.revoked_at, u.role, u.school_id
from login_sessions s join users u on u.id = s.user_id
where s.id = %(id)s for update of s
"""
_ROTATE = """
update login_sessions set token_hash = %(token_hash)s, refreshed_at = %(now)s, expires_at = %(expires_at)s
where id = %(id)s
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


async def end_log_ins(connection: Connection, user_id: int, reason: str, but: UUID | None = None) -> None:
    """End every log-in of a user, except the one that asks."""
    await connection.execute(_END_LOG_INS, {"user_id": user_id, "reason": reason, "but": but})


async def open_session(
    connection: Connection, session_id: UUID, user_id: int, token_hash: bytes, moment: datetime, expires_at: datetime
) -> None:
    """A new log-in."""
    values = {"id": session_id, "user_id": user_id, "token_hash": token_hash, "now": moment, "expires_at": expires_at}
    await connection.execute(_OPEN, values)


async def locked_session(connection: Connection, session_id: UUID) -> dict[str, Any] | None:
    """A log-in with its user's role and school, locked until the transaction ends."""
    cursor = await connection.execute(_SESSION, {"id": session_id})
    return await cursor.fetchone()


async def rotate(
    connection: Connection, session_id: UUID, token_hash: bytes, moment: datetime, expires_at: datetime
) -> None:
    """The next refresh token of a log-in."""
    values = {"id": session_id, "token_hash": token_hash, "now": moment, "expires_at": expires_at}
    await connection.execute(_ROTATE, values)


async def revoke(connection: Connection, session_id: UUID, moment: datetime, reason: str) -> None:
    """End a log-in: every server refuses its tokens within a second (`api/principal.py` asks the record)."""
    await connection.execute(
        "update login_sessions set revoked_at = coalesce(revoked_at, %(now)s) where id = %(id)s",
        {"id": session_id, "now": moment},
    )
    log.info("session_revoked", session_id=str(session_id), reason=reason)
