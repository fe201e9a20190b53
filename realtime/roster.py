"""Who may enter which room, and as what: the token says who, Postgres says where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from core.errors import Forbidden, NotFound
from core.postgres import Postgres
from realtime.protocol import Join

_SESSION = """
select s.id as session_id, s.classroom_id from live_sessions l join quiz_sessions s on s.id = l.session_id
where s.id = %(session_id)s or l.join_code = %(join_code)s"""
_NEWEST = """
select s.id as session_id from live_sessions l join quiz_sessions s on s.id = l.session_id
where s.classroom_id = %(classroom)s and s.ended_at is null order by s.id desc limit 1"""
_SEAT = """
select u.name,
       case when %(role)s = 'admin' and u.role = 'admin' then 'teacher'
            when %(role)s = 'teacher' and (c.teacher_id = u.id or e.role = 'teacher') then 'teacher'
            when %(role)s = 'student' and e.role = 'student' then 'student' end as role
from classrooms c
join users u on u.id = %(user)s and u.school_id = c.school_id
left join enrolments e on e.classroom_id = c.id and e.user_id = u.id and e.valid_to is null and e.valid_from <= now()
where c.id = %(classroom)s and c.school_id = %(school)s"""


class Principal(Protocol):
    """Whom a verified token names."""

    @property
    def user_id(self) -> int | None:
        """The user's id; a service has none, and no seat in any room."""
        ...

    @property
    def school_id(self) -> int | None:
        """The user's school; None for an operator, who has no seat in any room."""
        ...

    @property
    def role(self) -> str:
        """student, teacher, admin or operator."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the token runs out, if it does."""
        ...


class Role(StrEnum):
    """What one may do in a room."""

    TEACHER = "teacher"
    STUDENT = "student"


@dataclass(frozen=True)
class Seat:
    """A person's place in a classroom."""

    classroom_id: int
    user_id: int
    name: str
    role: Role


class Roster:
    """Asks Postgres; nothing is remembered, so a removed pupil is out at the next join or refresh."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def admit(self, join: Join, principal: Principal) -> tuple[int, Seat]:
        """The session that is meant and the seat in it; raises Forbidden, or NotFound when the class has none now."""
        if join.session_id is None and join.join_code is None:
            return await self._by_classroom(join.classroom_id, principal)
        row = await self._postgres.fetch_one(_SESSION, _named(join))
        if row is None:
            raise _not_admitted()
        return row["session_id"], await self.seat(row["classroom_id"], principal)

    async def _by_classroom(self, classroom_id: int | None, principal: Principal) -> tuple[int, Seat]:
        seat = await self.seat(classroom_id, principal)
        row = await self._postgres.fetch_one(_NEWEST, {"classroom": classroom_id})
        if row is None:
            raise NotFound("This classroom has no live quiz now.", code="no_session")
        return row["session_id"], seat

    async def seat(self, classroom_id: int | None, principal: Principal) -> Seat:
        """The principal's seat in a classroom; raises Forbidden, and does not tell whether the classroom exists."""
        row = await self._postgres.fetch_one(
            _SEAT,
            {
                "classroom": classroom_id,
                "user": principal.user_id,
                "school": principal.school_id,
                "role": str(principal.role),
            },
        )
        if classroom_id is None or principal.user_id is None or row is None or row["role"] is None:
            raise _not_admitted()
        return Seat(classroom_id, principal.user_id, row["name"], Role(row["role"]))


def _named(join: Join) -> dict[str, int | str | None]:
    if join.session_id is not None:
        return {"session_id": join.session_id, "join_code": None}
    return {"session_id": None, "join_code": (join.join_code or "").strip().upper()}


def _not_admitted() -> Forbidden:
    return Forbidden("There is no live quiz here that you may enter.", code="not_admitted")
