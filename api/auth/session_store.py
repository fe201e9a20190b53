"""Log-ins in the record; a log-in is one family of refresh tokens, of which only hashes are kept.

All times are those of Postgres' clock: servers whose clocks differ agree on when a log-in ends.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core.postgres import Connection, Postgres

# `for share`: a change of the role waits until this log-in is there to be ended, or is seen by it.
_USER = "select id as user_id, role, school_id, disabled_at from users where id = %(id)s for share"
_EXPIRES = "least(clock_timestamp() + %(sliding)s, {created} + %(absolute)s)"
_SEEN = "user_id, expires_at, extract(epoch from expires_at - clock_timestamp())::int as seconds"
_OPEN = f"""
insert into login_sessions (id, user_id, token_hash, created_at, refreshed_at, expires_at, client, method)
values (%(id)s, %(user_id)s, %(token_hash)s, clock_timestamp(), clock_timestamp(),
        {_EXPIRES.format(created="clock_timestamp()")}, %(client)s, %(method)s)
returning {_SEEN}
"""
_LOCKED = """
select s.id, s.user_id, s.token_hash, s.previous_hash, u.role, u.school_id,
       s.revoked_at is null and s.expires_at > clock_timestamp() and u.disabled_at is null as good,
       s.rotated_at > clock_timestamp() - %(grace)s as just_rotated,
       extract(epoch from s.expires_at - clock_timestamp())::int as seconds
from login_sessions s join users u on u.id = s.user_id
where s.id = %(id)s for update of s
"""
_ROTATE = f"""
update login_sessions set previous_hash = token_hash, token_hash = %(token_hash)s, rotated_at = clock_timestamp(),
    refreshed_at = clock_timestamp(), expires_at = {_EXPIRES.format(created="created_at")}
where id = %(id)s returning {_SEEN}
"""
_OPEN_ONES = """
select id, created_at, refreshed_at, expires_at, client, method from login_sessions
where user_id = %(user_id)s and revoked_at is null and expires_at > clock_timestamp()
order by refreshed_at desc limit 200
"""
_OWN = """
select 1 from login_sessions
where id = %(id)s and user_id = %(user_id)s and revoked_at is null and expires_at > clock_timestamp()
"""


async def shared_user(connection: Connection, user_id: int) -> dict[str, Any] | None:
    """A user's role, school and disabled_at, which do not change until the transaction ends."""
    return await (await connection.execute(_USER, {"id": user_id})).fetchone()


async def open_session(connection: Connection, **values: Any) -> dict[str, Any]:
    """A new log-in; how many seconds it is good for."""
    return (await (await connection.execute(_OPEN, values)).fetchall())[0]


async def locked_session(connection: Connection, **values: Any) -> dict[str, Any] | None:
    """A log-in with its user's role and school, locked until the transaction ends."""
    return await (await connection.execute(_LOCKED, values)).fetchone()


async def rotate(connection: Connection, **values: Any) -> dict[str, Any]:
    """The next refresh token of a log-in; how many seconds it is good for."""
    return (await (await connection.execute(_ROTATE, values)).fetchall())[0]


async def open_sessions(postgres: Postgres, user_id: int) -> list[dict[str, Any]]:
    """A user's log-ins that have not ended, the last used first."""
    return await postgres.fetch(_OPEN_ONES, {"user_id": user_id})


async def is_own(connection: Connection, session_id: UUID, user_id: int) -> bool:
    """Whether it is a log-in of the user that has not ended."""
    found = await connection.execute(_OWN, {"id": session_id, "user_id": user_id})
    return await found.fetchone() is not None
