"""Who asks: what the token says, and what the record says of him now."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from core.errors import Unauthenticated, Unavailable
from core.postgres import Postgres
from engine.query.access import SecurityContext

T = TypeVar("T")
FRESH_SECONDS = 1.0
STALE_SECONDS = 300.0
"""So old may a value be while Postgres is away: as old as an access token."""
_MOST = 50_000
_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 2.0

_MEMBERSHIPS = """
with open as not materialized (
    select school_id, classroom_id, user_id, role from enrolments
    where valid_from <= now() and (valid_to is null or valid_to > now())
), rooms as (
    select id from classrooms where teacher_id = %(user_id)s and school_id = %(school_id)s
    union
    select classroom_id from open where user_id = %(user_id)s and school_id = %(school_id)s and role = %(role)s
)
select array(select id from rooms order by 1) as classroom_ids,
       case u.role
           when 'teacher' then array(select distinct user_id from open
                                     where role = 'student' and classroom_id in (select id from rooms) order by 1)
           when 'student' then array[u.id] else '{}' end as student_ids,
       array(select s.id from analyst_schools a join schools s on s.id = a.school_id
             where u.role = 'analyst' and a.user_id = u.id and s.share_with_network order by 1) as school_ids
from users u
where u.id = %(user_id)s and u.role = %(role)s and u.school_id is not distinct from %(school_id)s
  and u.disabled_at is null
"""
_WITH_MEMBERSHIPS = {"student", "teacher", "analyst"}


@dataclass(frozen=True)
class Principal:
    """The caller, as his token names him; a service has no user_id, an operator no school.

    `scopes` is what a service token may do of all that its maker may; None: everything."""

    role: str
    user_id: int | None = None
    school_id: int | None = None
    session_id: UUID | None = None
    subject: str = ""
    expires_at: datetime | None = None
    issued_at: datetime | None = None
    token_id: UUID | None = None
    scopes: frozenset[str] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_operator(self) -> bool:
        """Whether he may see every school."""
        return self.role == "operator"


@dataclass(frozen=True)
class Memberships:
    """Whose data the caller may see: his classrooms, their students; the schools granted to an analyst."""

    classroom_ids: tuple[int, ...] = ()
    student_ids: tuple[int, ...] = ()
    school_ids: tuple[int, ...] = ()


class Fresh(Generic[T]):
    """A value for each key, loaded again when it is older than a second, or kept for a while when that fails."""

    def __init__(self, seconds: float = FRESH_SECONDS, stale_seconds: float = STALE_SECONDS) -> None:
        self._seconds = seconds
        self._stale_seconds = stale_seconds
        self._known: dict[Any, tuple[float, T]] = {}
        self._forgotten = -math.inf
        self._away_until = -math.inf

    async def get(self, key: Any, load: Callable[[], Awaitable[T]]) -> T:
        """The value, from memory if it is young enough; raises `Unavailable` where there is none."""
        found, moment = self._known.get(key), time.monotonic()
        if found is None or moment - found[0] >= self._stale_seconds:
            return self._keep(key, moment, await load())
        young = moment - found[0] < self._seconds and found[0] > self._forgotten
        if young or moment < self._away_until:
            return found[1]
        try:
            return self._keep(key, moment, await asyncio.wait_for(load(), _PATIENCE_SECONDS))
        except (Unavailable, TimeoutError):
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            return found[1]

    def _keep(self, key: Any, moment: float, value: T) -> T:
        if len(self._known) > _MOST:
            self._known = {k: v for k, v in self._known.items() if moment - v[0] < self._seconds}
        self._known[key] = (moment, value)
        return value

    def forget(self) -> None:
        """Load everything again; what was known counts only while that fails."""
        self._forgotten = time.monotonic()


class EndedLogins(Protocol):
    """What tells whether a log-in has ended (`api/auth/revocations.py`)."""

    def check(self, principal: Principal) -> None:
        """Raises `Unauthenticated` when it has."""
        ...


class Identities:
    """The record's word on a caller; without a record (the semantic layer alone) the token's word holds."""

    def __init__(self, postgres: Postgres | None, ended: EndedLogins | None = None, pseudonym_key: str = "") -> None:
        self._postgres = postgres
        self._ended = ended
        self._pseudonym_key = pseudonym_key
        self._memberships: Fresh[Memberships] = Fresh()

    async def confirm(self, principal: Principal) -> None:
        """Raises `Unauthenticated` when the log-in has ended; asks the memory only."""
        if self._ended is not None:
            self._ended.check(principal)

    async def memberships(self, principal: Principal) -> Memberships:
        """The caller's, at most a second old; raises `Unauthenticated` when he is not any more who his token says."""
        if self._postgres is None or principal.user_id is None or principal.role not in _WITH_MEMBERSHIPS:
            return Memberships()
        key = (principal.user_id, principal.role, principal.school_id)
        postgres = self._postgres
        return await self._memberships.get(key, lambda: _members(postgres, principal))

    async def context(self, principal: Principal) -> SecurityContext:
        """What the access policies of the model look at; what is None or empty there denies."""
        members = await self.memberships(principal)
        own_school = [] if principal.school_id is None else [principal.school_id]
        attributes: dict[str, Any] = {
            "user_id": principal.user_id,
            "school_id": principal.school_id,
            "school_ids": list(members.school_ids) if principal.role == "analyst" else own_school,
            "classroom_ids": list(members.classroom_ids),
            "student_ids": list(members.student_ids),
        }
        if principal.user_id is None:
            attributes |= principal.attributes
        elif principal.role == "teacher" and not members.classroom_ids:
            # anybody may register as a teacher; a classroom makes him one
            attributes |= {"school_id": None, "school_ids": []}
        if self._pseudonym_key:
            attributes["pseudonym_key"] = self._pseudonym_key
        return SecurityContext(groups=frozenset({principal.role}), attributes=attributes)

    def forget(self) -> None:
        """After a change of memberships in this process: see it at once."""
        self._memberships.forget()


async def _members(postgres: Postgres, principal: Principal) -> Memberships:
    who = {"user_id": principal.user_id, "school_id": principal.school_id, "role": principal.role}
    row = await postgres.fetch_one(_MEMBERSHIPS, who)
    if row is None:
        raise Unauthenticated("This log-in has ended. Log in again.", code="session_ended")
    return Memberships(*(tuple(row[name]) for name in ("classroom_ids", "student_ids", "school_ids")))
