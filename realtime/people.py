"""Who has been in a room: nicknames, teams, and who was sent out. Kept apart from the log, which names no person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from psycopg.errors import UniqueViolation

from core.errors import Conflict, NotFound
from core.postgres import Postgres
from realtime import nicknames
from realtime.teams import smallest

_KNOWN = "select nickname, kicked_at is not null as kicked from live_people where session_id = %s and user_id = %s"
_TAKEN = "select nickname_key from live_people where session_id = %s and nickname_key is not null and user_id <> %s"
_NAME = """
insert into live_people (session_id, user_id, nickname, nickname_key) values (%s, %s, %s, %s)
on conflict (session_id, user_id) do update set nickname = excluded.nickname, nickname_key = excluded.nickname_key
where live_people.nickname is null"""
_TEAM = """
insert into live_people (session_id, user_id, team) values (%(session)s, %(user)s, %(team)s)
on conflict (session_id, user_id) do update set team = coalesce(live_people.team, excluded.team) returning team"""
_TEAMS = "select user_id, team from live_people where session_id = %s and team is not null"
_KICK = """
insert into live_people (session_id, user_id, kicked_at)
select s.id, e.user_id, clock_timestamp() from quiz_sessions s
join enrolments e on e.classroom_id = s.classroom_id and e.user_id = %(user)s and e.role = 'student'
where s.id = %(session)s limit 1
on conflict (session_id, user_id) do update set kicked_at = clock_timestamp()"""
_ALLOW = "update live_people set kicked_at = null where session_id = %s and user_id = %s and kicked_at is not null"
_KICKED = "select session_id, user_id from live_people where session_id = any(%s) and kicked_at is not null order by 2"
_NAMES = """
select u.id, coalesce(p.nickname, u.name) as name from users u
left join live_people p on p.user_id = u.id and p.session_id = %s where u.id = any(%s)"""


class People:
    """Reads and writes live_people."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def known(self, session_id: int, user_id: int) -> tuple[str | None, bool]:
        """A pupil's nickname in the room, and whether he was sent out."""
        row = await self._postgres.fetch_one(_KNOWN, [session_id, user_id])
        return (None, False) if row is None else (row["nickname"], row["kicked"])

    async def nickname(self, session_id: int, user_id: int, wish: str) -> str:
        """The pupil's name for this room: the wish, cleaned and made unique; the first one stays."""
        for _ in range(20):
            found, _kicked = await self.known(session_id, user_id)
            if found is not None:
                return found
            taken = {row["nickname_key"] for row in await self._postgres.fetch(_TAKEN, [session_id, user_id])}
            name = nicknames.free(wish, taken)
            try:
                await self._postgres.fetch(_NAME, [session_id, user_id, name, nicknames.key(name)])
            except UniqueViolation:
                continue  # somebody took it meanwhile
        raise Conflict("No free nickname was found; try another.", code="nickname_taken")

    async def teams(self, session_id: int) -> dict[int, int]:
        """Pupil → team."""
        return {row["user_id"]: row["team"] for row in await self._postgres.fetch(_TEAMS, [session_id])}

    async def team(self, session_id: int, user_id: int, teams: int) -> int:
        """The pupil's team; who came to the class later gets into the smallest."""
        found = await self.teams(session_id)
        if user_id not in found:
            sizes = Counter(found.values())
            values = {"session": session_id, "user": user_id, "team": smallest([sizes[n] for n in range(teams)])}
            row = await self._postgres.fetch_one(_TEAM, values)
            found[user_id] = (row or values)["team"]
        return found[user_id]

    async def kick(self, session_id: int, user_id: int) -> None:
        """Send a pupil of the classroom out; raises NotFound for anybody else."""
        async with self._postgres.transaction() as connection:
            if (await connection.execute(_KICK, {"session": session_id, "user": user_id})).rowcount == 0:
                raise NotFound("There is no such pupil in this classroom.", code="no_such_student")

    async def allow(self, session_id: int, user_id: int) -> None:
        """Let him come back; raises NotFound for somebody who was not sent out."""
        async with self._postgres.transaction() as connection:
            if (await connection.execute(_ALLOW, [session_id, user_id])).rowcount == 0:
                raise NotFound("This pupil was not sent out.", code="not_kicked")

    async def kicked(self, sessions: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """Who was sent out of which of these sessions."""
        found: dict[int, tuple[int, ...]] = {}
        for row in await self._postgres.fetch(_KICKED, [list(sessions)]):
            found[row["session_id"]] = (*found.get(row["session_id"], ()), row["user_id"])
        return found

    async def names(self, session_id: int, users: Iterable[int]) -> dict[int, str]:
        """What classmates call these people in this room."""
        rows = await self._postgres.fetch(_NAMES, [session_id, list(users)])
        return {row["id"]: row["name"] for row in rows}
