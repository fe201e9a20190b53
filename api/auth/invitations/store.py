"""Invitations in the record; of a code only a keyed hash is kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.fields import Paging
from api.sql import counted, written
from core.postgres import Connection, Postgres

_SHOWN = """id::text as id, school_id, role, classroom_id, email, created_by, created_at, expires_at, max_uses, uses,
    revoked_at"""
_SEES = """(%(operator)s or school_id = %(my_school)s
    and (%(whole)s or created_by = %(my_user)s and classroom_id = any(%(my_classrooms)s)))"""
_INSERT = f"""
insert into invitations (id, school_id, role, classroom_id, email, code_hash, created_by, expires_at, max_uses)
values (%(id)s, %(school_id)s, %(role)s, %(classroom_id)s, %(email)s, %(code_hash)s, %(created_by)s,
        now() + make_interval(days => %(days)s), %(max_uses)s)
returning {_SHOWN}
"""
# A code is as good as its maker: it dies with his account, and a teacher's when the classroom is not his any more.
_USABLE = """
i.code_hash = %(code_hash)s and i.revoked_at is null and i.expires_at > now() and i.uses < i.max_uses
and (i.email is null or lower(i.email) = lower(%(email)s))
and (i.created_by is null or exists (
    select 1 from users u where u.id = i.created_by and u.disabled_at is null
    and (u.role = 'operator' or u.school_id = i.school_id and (u.role = 'admin'
        or u.role = 'teacher' and i.role = 'student' and exists (
            select 1 from classrooms c where c.id = i.classroom_id and (c.teacher_id = u.id or exists (
                select 1 from enrolments e where e.classroom_id = c.id and e.user_id = u.id and e.role = 'teacher'
                and e.valid_from <= now() and (e.valid_to is null or e.valid_to > now()))))))))
"""
_FIND = f"select i.id, i.role from invitations i where {_USABLE}"
_TAKE = f"""
update invitations i set uses = uses + 1 where {_USABLE}
returning i.id, i.school_id, i.role, i.classroom_id, i.email
"""
_ENROL = """
insert into enrolments (school_id, classroom_id, user_id, role)
values (%(school_id)s, %(classroom_id)s, %(user_id)s, %(role)s)
"""


async def insert(connection: Connection, **values: Any) -> dict[str, Any]:
    """A new invitation."""
    return await written(connection, _INSERT, values)


async def page(postgres: Postgres, scope: dict[str, Any], paging: Paging) -> tuple[list[dict[str, Any]], int]:
    """The newest invitations that the caller may see, and how many there are."""
    values = scope | paging.limit
    rows = await postgres.fetch(
        f"select {_SHOWN} from invitations where {_SEES} order by id desc limit %(limit)s offset %(offset)s", values
    )
    return rows, await counted(postgres, f"select count(*) as n from invitations where {_SEES}", values)


async def revoke(connection: Connection, scope: dict[str, Any], invitation_id: UUID) -> dict[str, Any] | None:
    """Take one back that the caller may see; again is no mistake."""
    cursor = await connection.execute(
        f"""update invitations set revoked_at = coalesce(revoked_at, now())
            where {_SEES} and invitations.id = %(id)s returning {_SHOWN}""",
        scope | {"id": invitation_id},
    )
    return await cursor.fetchone()


async def is_usable(postgres: Postgres, code_hash: bytes, email: str) -> bool:
    """Whether the code is good for the address now."""
    return await postgres.fetch_one(_FIND, {"code_hash": code_hash, "email": email}) is not None


async def take(connection: Connection, code_hash: bytes, email: str) -> dict[str, Any] | None:
    """Use the code once; the row stays locked until the transaction ends, so that it is never used too often."""
    cursor = await connection.execute(_TAKE, {"code_hash": code_hash, "email": email})
    return await cursor.fetchone()


async def enrol(connection: Connection, invitation: dict[str, Any], user_id: int) -> None:
    """Put the new account into the invitation's classroom."""
    await connection.execute(_ENROL, {**invitation, "user_id": user_id})


async def keep_code(connection: Connection, invitation_id: UUID, code_hash: bytes) -> dict[str, Any] | None:
    """Another code for an invitation that waits for its mail; its school's name, or None when it is not good."""
    cursor = await connection.execute(
        """update invitations i set code_hash = %(code_hash)s from schools s
           where i.id = %(id)s and s.id = i.school_id and i.revoked_at is null and i.expires_at > now() and i.uses = 0
           returning s.name as school, i.role, i.expires_at""",
        {"id": invitation_id, "code_hash": code_hash},
    )
    return await cursor.fetchone()
