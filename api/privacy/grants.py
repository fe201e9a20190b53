"""The schools that an analyst reads: granted by an operator, and only while the school shares its data."""

from __future__ import annotations

from typing import Any

from api.sql import counted
from core.postgres import Connection, Postgres

ANALYST_SCHOOLS = """
select a.school_id from analyst_schools a join schools s on s.id = a.school_id
where a.user_id = %(my_user)s and s.share_with_network and s.consent_basis <> 'none'
"""
"""For `school_ids`, the attribute of the model's policies."""

_GRANT = """
insert into analyst_schools (user_id, school_id, granted_by) values (%(user_id)s, %(school_id)s, %(granted_by)s)
on conflict do nothing
"""
_LIST = """
select a.school_id, a.granted_at, s.share_with_network and s.consent_basis <> 'none' as shared
from analyst_schools a join schools s on s.id = a.school_id where a.user_id = %(user_id)s order by a.school_id
"""


async def is_analyst(postgres: Postgres, user_id: int) -> bool:
    """Whether there is such an analyst."""
    found = "select count(*) as n from users where id = %(id)s and role = 'analyst'"
    return await counted(postgres, found, {"id": user_id}) > 0


async def grant(connection: Connection, user_id: int, school_id: int, granted_by: int | None) -> bool:
    """Let an analyst read a school; False if he does already."""
    values = {"user_id": user_id, "school_id": school_id, "granted_by": granted_by}
    return (await connection.execute(_GRANT, values)).rowcount > 0


async def withdraw(connection: Connection, user_id: int, school_id: int) -> bool:
    """Take a school from an analyst; False if he had it not."""
    query = "delete from analyst_schools where user_id = %(user_id)s and school_id = %(school_id)s"
    return (await connection.execute(query, {"user_id": user_id, "school_id": school_id})).rowcount > 0


async def granted(postgres: Postgres, user_id: int) -> list[dict[str, Any]]:
    """The schools granted to an analyst, each with whether it shares its data now."""
    return await postgres.fetch(_LIST, {"user_id": user_id})
