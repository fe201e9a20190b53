"""Who asks: what the token says, and what the record says of him now."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from core.errors import Unauthenticated
from core.postgres import Postgres
from engine.query.access import SecurityContext

T = TypeVar("T")
FRESH_SECONDS = 1.0

_STANDING = """
select u.role, u.school_id, s.id is not null as open
from users u left join login_sessions s on s.id = %(session_id)s and s.user_id = u.id and s.revoked_at is null
where u.id = %(user_id)s and u.disabled_at is null
"""
_CLASSROOMS = """
select id from classrooms where teacher_id = %(user_id)s and school_id = %(school_id)s
union
select classroom_id from enrolments
where user_id = %(user_id)s and school_id = %(school_id)s and role = %(role)s
  and valid_from <= now() and (valid_to is null or valid_to > now())
"""
_STUDENTS = """
select distinct user_id from enrolments
where classroom_id = any(%(classroom_ids)s) and role = 'student'
  and valid_from <= now() and (valid_to is null or valid_to > now())
"""


@dataclass(frozen=True)
class Principal:
    """The caller, as his token names him; a service has no user_id, an operator no school."""

    role: str
    user_id: int | None = None
    school_id: int | None = None
    session_id: UUID | None = None
    subject: str = ""
    expires_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_operator(self) -> bool:
        """Whether he may see every school."""
        return self.role == "operator"


@dataclass(frozen=True)
class Memberships:
    """Whose data the caller may see: his classrooms, their students."""

    classroom_ids: tuple[int, ...] = ()
    student_ids: tuple[int, ...] = ()


class Fresh(Generic[T]):
    """A value for each key, loaded again when it is older than a second."""

    def __init__(self, seconds: float = FRESH_SECONDS) -> None:
        self._seconds = seconds
        self._known: dict[Any, tuple[float, T]] = {}

    async def get(self, key: Any, load: Callable[[], Awaitable[T]]) -> T:
        """The value, from memory if it is young enough."""
        found = self._known.get(key)
        if found and time.monotonic() - found[0] < self._seconds:
            return found[1]
        moment = time.monotonic()
        value = await load()
        if len(self._known) > 10_000:
            self._known = {k: v for k, v in self._known.items() if moment - v[0] < self._seconds}
        self._known[key] = (moment, value)
        return value

    def forget(self) -> None:
        """Load everything again."""
        self._known.clear()


class Identities:
    """The record's word on a caller; without a record (the semantic layer alone) the token's word holds."""

    def __init__(self, postgres: Postgres | None) -> None:
        self._postgres = postgres
        self._standing: Fresh[bool] = Fresh()
        self._memberships: Fresh[Memberships] = Fresh()

    async def confirm(self, principal: Principal) -> None:
        """Raises `Unauthenticated` when the user is gone, has another role or school, or logged out (≤ 1 s ago)."""
        if self._postgres is None or principal.user_id is None:
            return
        key = (principal.user_id, principal.session_id, principal.role, principal.school_id)
        postgres = self._postgres
        if not await self._standing.get(key, lambda: _stands(postgres, principal)):
            raise Unauthenticated("This log-in has ended. Log in again.", code="session_ended")

    async def memberships(self, principal: Principal) -> Memberships:
        """The classrooms and students of a teacher or a student; empty for all others."""
        if self._postgres is None or principal.user_id is None or principal.role not in {"teacher", "student"}:
            return Memberships()
        key = (principal.user_id, principal.role)
        postgres, user_id = self._postgres, principal.user_id
        return await self._memberships.get(key, lambda: _members(postgres, principal, user_id))

    async def context(self, principal: Principal) -> SecurityContext:
        """What the access policies of the model look at; what is None or empty there denies."""
        members = await self.memberships(principal)
        attributes = {
            "user_id": principal.user_id,
            "school_id": principal.school_id,
            "classroom_ids": list(members.classroom_ids),
            "student_ids": list(members.student_ids),
        }
        if principal.user_id is None:
            attributes |= principal.attributes
        elif principal.role == "teacher" and not members.classroom_ids:
            attributes["school_id"] = None  # anybody may register as a teacher; a classroom makes him one
        return SecurityContext(groups=frozenset({principal.role}), attributes=attributes)

    def forget(self) -> None:
        """After a change of memberships or sessions in this process: see it at once."""
        self._standing.forget()
        self._memberships.forget()


async def _stands(postgres: Postgres, principal: Principal) -> bool:
    row = await postgres.fetch_one(_STANDING, {"user_id": principal.user_id, "session_id": principal.session_id})
    if row is None or row["role"] != principal.role or row["school_id"] != principal.school_id:
        return False
    return principal.session_id is None or bool(row["open"])


async def _members(postgres: Postgres, principal: Principal, user_id: int) -> Memberships:
    who = {"user_id": user_id, "school_id": principal.school_id, "role": principal.role}
    classrooms = tuple(sorted(row["id"] for row in await postgres.fetch(_CLASSROOMS, who)))
    if principal.role == "student":
        return Memberships(classrooms, (user_id,))
    rows = await postgres.fetch(_STUDENTS, {"classroom_ids": list(classrooms)}) if classrooms else []
    return Memberships(classrooms, tuple(sorted(row["user_id"] for row in rows)))
