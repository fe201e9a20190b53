"""Whom and what a sender may write about: what the record knows of a thing, and of the sender's classrooms.

An admin writes about his school; a teacher about his classrooms, their students and what is asked there; a student
about himself, his classrooms and what is asked there. Who has left a classroom may still hand in what happened while
he was there. A quiz is within reach as it is to see (`api/quizzes/store.py`), and where a session of it was opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Thing: TypeAlias = tuple[str, int]
"""A field of an event and the id in it, e.g. `("quiz_id", 7)`."""
Stay: TypeAlias = datetime | None
"""Until when somebody belonged to a classroom; None: he still does."""

KEPT = timedelta(days=35)
_LATE = timedelta(minutes=5)

THINGS = """
with named as (
    select 'quiz_id' as field, id, school_id, id as quiz_id, null::bigint as classroom_id
    from quizzes where id = any(%(quiz_id)s)
    union all
    select 'session_id', id, school_id, case when classroom_id is null then quiz_id end, classroom_id
    from quiz_sessions where id = any(%(session_id)s)
    union all
    select 'question_id', n.id, n.school_id, a.quiz_id, null
    from questions n
    left join quiz_questions a on a.question_id = n.id
    where n.id = any(%(question_id)s)
    union all
    select 'classroom_id', id, school_id, null, id from classrooms where id = any(%(classroom_id)s)
    union all
    select 'user_id', id, school_id, null, null from users where id = any(%(user_id)s)
)
select n.field, n.id, n.school_id,
       coalesce(bool_or(q.id is not null and q.school_id is null or q.classroom_id is null and u.role = 'admin'), false)
           as open,
       array_remove(array_agg(distinct q.created_by), null) as makers,
       array_remove(array_agg(distinct r.id), null) as rooms
from named n
left join quizzes q on q.id = n.quiz_id
left join users u on u.id = q.created_by
left join lateral (
    select n.classroom_id as id
    union select q.classroom_id
    union select c.id from classrooms c where q.classroom_id is null and c.teacher_id = q.created_by
    union select s.classroom_id from quiz_sessions s where s.quiz_id = q.id and q.school_id is not null
) r on true
group by n.field, n.id, n.school_id
"""

STAYS = """
with rooms as (
    select id, null::timestamptz as until from classrooms
    where teacher_id = %(user_id)s and school_id = %(school_id)s
    union all
    select classroom_id, valid_to from enrolments
    where user_id = %(user_id)s and school_id = %(school_id)s and role = %(role)s
      and (valid_to is null or valid_to > now() - %(kept)s)
)
select 'classroom_id' as field, id, until from rooms
union all
select 'user_id', e.user_id, nullif(least(coalesce(e.valid_to, 'infinity'), coalesce(r.until, 'infinity')), 'infinity')
from enrolments e join rooms r on r.id = e.classroom_id
where %(role)s = 'teacher' and e.role = 'student' and (e.valid_to is null or e.valid_to > now() - %(kept)s)
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A thing: its school (None: shared by all), and by what somebody of that school reaches it.

    `open`: to every member of a classroom; else by one of `rooms`, or as one of its `makers`."""

    school_id: int | None
    open: bool = False
    rooms: frozenset[int] = frozenset()
    makers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Reach:
    """A sender: his school, himself, and until when he was in which classrooms and taught which students.

    `whole`: everything in his school is within his reach."""

    school_id: int
    user_id: int
    whole: bool = False
    rooms: Mapping[int, Stay] = field(default_factory=dict)
    people: Mapping[int, Stay] = field(default_factory=dict)

    def covers(self, thing: Thing, known: Known, moment: datetime) -> bool:
        """Whether the sender may write about the thing as of `moment`."""
        name, identifier = thing
        if known.school_id is None:
            return name in ("quiz_id", "question_id")
        if known.school_id != self.school_id:
            return False
        if self.whole:
            return True
        if name == "user_id":
            return identifier == self.user_id or _there(self.people, identifier, moment)
        if self.user_id in known.makers:
            return True
        rooms = self.rooms if known.open else known.rooms
        return any(_there(self.rooms, room, moment) for room in rooms)


def read_known(row: Mapping[str, Any]) -> Known:
    """A row of `THINGS`."""
    return Known(row["school_id"], row["open"], frozenset(row["rooms"]), frozenset(row["makers"]))


def read_stays(rows: list[dict[str, Any]], name: str) -> dict[int, Stay]:
    """Those rows of `STAYS` that are about classrooms (or about users), the longest of each."""
    stays: dict[int, Stay] = {}
    for row in (row for row in rows if row["field"] == name):
        before = stays.get(row["id"], row["until"])
        stays[row["id"]] = None if before is None or row["until"] is None else max(before, row["until"])
    return stays


def _there(stays: Mapping[int, Stay], identifier: int, moment: datetime) -> bool:
    if identifier not in stays:
        return False
    until = stays[identifier]
    return until is None or moment <= until + _LATE
