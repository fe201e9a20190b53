"""What a node does again and again: lost hints repaired, people followed, what is overdue locked and settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from core.clock import epoch_ms, now
from core.errors import EduError, Forbidden
from core.postgres import Postgres
from core.telemetry import log
from realtime.connection import Connection
from realtime.desk import Desk
from realtime.grading import AnswerWriter
from realtime.log import SessionLog
from realtime.protocol import Close
from realtime.provisional import Provisional
from realtime.room import Room
from realtime.roster import Roster
from realtime.state import GRACE_MS

# Enrolments and classrooms that transactions changed which the last snapshot did not see (ADR 0002).
_MOVED = """
select pg_snapshot_xmin(s)::text as horizon, array(
    select distinct array[e.classroom_id, e.user_id]
    from row_changes r, lateral (
        select classroom_id, user_id from enrolments where r.entity = 'enrolments' and id = r.key
        union all select id, 0 from classrooms where r.entity = 'classrooms' and id = r.key
    ) e
    where r.xid >= %(horizon)s::text::xid8 and r.entity in ('enrolments', 'classrooms')
      and e.classroom_id = any(%(classrooms)s)) as moved
from pg_current_snapshot() s"""
_NOW = "select pg_snapshot_xmin(pg_current_snapshot())::text as horizon"


class Upkeep:
    """Chores over all rooms of a node; each may fail, and is done again."""

    def __init__(
        self,
        postgres: Postgres,
        rooms: Mapping[int, Room],
        log_: SessionLog,
        roster: Roster,
        provisional: Provisional,
        writer: AnswerWriter,
        desk: Desk,
        load: Callable[[int], Awaitable[Room]],
        is_broker_up: Callable[[], bool],
    ) -> None:
        self._postgres = postgres
        self._rooms = rooms
        self._log = log_
        self._roster = roster
        self._provisional = provisional
        self._writer = writer
        self._desk = desk
        self._load = load
        self._is_broker_up = is_broker_up
        self._horizon: str | None = None

    async def poll(self) -> None:
        """Repair what notices did not bring: lost ones, and all while the broker is away."""
        if not self._rooms:
            return
        for session_id, off in (await self._log.heads(list(self._rooms))).items():
            room = self._rooms.get(session_id)
            if room is not None and off > room.state.off:
                await room.catch_up()
            elif room is not None and not self._is_broker_up():
                room.shows.answers_elsewhere()
        await self._desk.follow_kicks(dict(self._rooms))

    async def follow_people(self) -> None:
        """Let go who has left the classroom since the last look."""
        if self._horizon is None:
            row = await self._postgres.fetch_one(_NOW)
            self._horizon = "0" if row is None else row["horizon"]
            return
        classrooms = list({room.sitting.classroom_id for room in self._rooms.values()})
        row = await self._postgres.fetch_one(_MOVED, {"horizon": self._horizon, "classrooms": classrooms})
        if row is None:
            return
        moved = {(classroom, user) for classroom, user in row["moved"]}
        for room in list(self._rooms.values()) if moved else ():
            for member in list(room.members):
                places = {(room.sitting.classroom_id, member.seat.user_id), (room.sitting.classroom_id, 0)}
                if places & moved:
                    await self._seat_again(room, member)
        self._horizon = row["horizon"]

    async def _seat_again(self, room: Room, member: Connection) -> None:
        try:
            seat = await self._roster.seat(room.sitting.classroom_id, member.principal)
        except Forbidden:
            member.end(Close.REVOKED, "left_classroom")
            return
        if seat.role is not member.seat.role:
            member.end(Close.RESTART, "retry_ms=0")  # another role: come back as what you are now

    async def lock_overdue(self) -> None:
        """Lock questions whose time is up though nobody is in their room, and settle their answers."""
        for session_id in await self._log.overdue(epoch_ms(now()) - GRACE_MS):
            try:
                await self._lock(session_id)
            except EduError as error:  # one room that cannot be read holds up no other
                log.warning("live question not locked", session_id=session_id, reason=error.code)
        await self.settle()

    async def _lock(self, session_id: int) -> None:
        room = self._rooms.get(session_id)
        if room is not None:
            await room.lock_overdue()
            return
        room = await self._load(session_id)
        try:
            await room.lock_overdue()
        finally:
            room.close()

    async def settle(self, session_id: int | None = None) -> None:
        """Make facts of provisional answers to closed questions."""
        await self._provisional.settle(self._writer.keep, None if session_id is None else [session_id])


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever; what fails is tried again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except EduError as error:
            log.warning("live upkeep skipped", reason=error.code)
        except Exception as error:
            log.error("live upkeep failed", exc_info=error)
