"""The links in mails: a random token, good once, for a while, and only while the address is still the account's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from api.auth.codes import token_hash
from core.ids import new_id
from core.postgres import Connection

Purpose = Literal["reset_password", "verify_email"]
_MOST_PER_HOUR = 5
_RECENT = """
select count(*) as n from mail_tokens
where user_id = %(user_id)s and created_at > now() - interval '1 hour' and token_hash <> %(token_hash)s
"""
_INSERT = """
insert into mail_tokens (id, user_id, purpose, email, token_hash, expires_at)
values (%(id)s, %(user_id)s, %(purpose)s, %(email)s, %(token_hash)s, now() + %(lifetime)s)
on conflict (token_hash) do update set expires_at = excluded.expires_at
"""
_GOOD = """
m.token_hash = %(token_hash)s and m.purpose = %(purpose)s and m.used_at is null and m.expires_at > now()
and u.id = m.user_id and u.disabled_at is null and lower(u.email) = lower(m.email)
"""
_OWNER = "u.id, u.name, u.email, u.role, u.school_id"
_FIND = f"select {_OWNER} from mail_tokens m, users u where {_GOOD}"
_TAKE = f"update mail_tokens m set used_at = now() from users u where {_GOOD} returning {_OWNER}"
_END = (
    "update mail_tokens set used_at = now() where user_id = %(user_id)s and purpose = %(purpose)s and used_at is null"
)


async def keep(connection: Connection, user: dict[str, Any], token: str, purpose: Purpose, lifetime: timedelta) -> bool:
    """Make a token good for an account's address; False when it got many in the last hour."""
    values = {"id": new_id(), "user_id": user["id"], "purpose": purpose, "email": user["email"]}
    values |= {"token_hash": token_hash(token), "lifetime": lifetime}
    cursor = await connection.execute(_RECENT, values)
    row = await cursor.fetchone()
    if row is None or row["n"] >= _MOST_PER_HOUR:
        return False
    await connection.execute(_INSERT, values)
    return True


async def find(connection: Connection, token: str, purpose: Purpose) -> dict[str, Any] | None:
    """Whose a good token is: id, name, email, role, school_id."""
    cursor = await connection.execute(_FIND, {"token_hash": token_hash(token), "purpose": purpose})
    return await cursor.fetchone()


async def take(connection: Connection, token: str, purpose: Purpose) -> dict[str, Any] | None:
    """Use a good token up; of two at once one gets it."""
    cursor = await connection.execute(_TAKE, {"token_hash": token_hash(token), "purpose": purpose})
    return await cursor.fetchone()


async def end(connection: Connection, user_id: int, purpose: Purpose) -> None:
    """All tokens of a purpose that are still out become useless."""
    await connection.execute(_END, {"user_id": user_id, "purpose": purpose})
