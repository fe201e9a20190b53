"""All live rooms of one node: lets people in, passes their frames on, and keeps every room up with its log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from core.clock import epoch_ms, now
from core.errors import Conflict, EduError, Forbidden
from core.ids import new_id
from core.postgres import Postgres
from core.telemetry import log, sockets
from realtime.broker import AnswersCame, AnyNotice, Broker, LogGrew, PeopleHere
from realtime.connection import Connection, Disconnected, Socket, close_code, first_frame, refuse
from realtime.grading import AnswerWriter, LiveAnswer, Outcome, live_answer
from realtime.log import Opened, SessionLog
from realtime.pacing import Limits
from realtime.protocol import (
    AnswerAck,
    AnswerSubmitted,
    ClientMessage,
    Close,
    Command,
    Correlation,
    Join,
    Refresh,
    Refreshed,
    Sync,
    Synced,
    encode,
)
from realtime.room import Room
from realtime.roster import Principal, Role, Roster
from realtime.session import Verdict, judge

T = TypeVar("T")
Authenticate: TypeAlias = Callable[[str], Awaitable[Principal]]
RETRY_MS = 5000
"""After a restart clients come back within this time, each at its own random moment."""


class LiveHub:
    """The door of `realtime`: `serve` a socket, `open_room` for a teacher. One for each process."""

    def __init__(
        self,
        postgres: Postgres,
        broker: Broker,
        authenticate: Authenticate,
        submit_answer: AnswerWriter,
        limits: Limits | None = None,
    ) -> None:
        self.node = str(new_id())
        self.limits = limits or Limits()
        self._log = SessionLog(postgres)
        self._roster = Roster(postgres)
        self._broker = broker
        self._authenticate = authenticate
        self._submit = submit_answer
        self._rooms: dict[int, Room] = {}
        self._loading: dict[int, asyncio.Task[Room]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._upkeep: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start."""
        await self._broker.start(self._hear)
        chores = ((self.limits.poll_s, self._poll), (self.limits.presence_s, self._tell_people))
        self._upkeep = [asyncio.create_task(self._every(seconds, work)) for seconds, work in chores]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send everybody away, to come back to another node, each after his own short while."""
        for room in self._rooms.values():
            for member in room.members:
                member.end(Close.RESTART, f"retry_ms={random.randrange(RETRY_MS)}")  # noqa: S311 - spreads load
        for task in self._upkeep:
            task.cancel()
        unfinished = {*self._tasks, *self._upkeep}
        if unfinished:
            await asyncio.wait(unfinished, timeout=self.limits.close_s)
        for room in self._rooms.values():
            room.close()
        self._rooms.clear()
        await self._broker.stop(self._hear)

    async def open_room(self, principal: Principal, classroom_id: int, quiz_id: int) -> Opened:
        """A new live session of a quiz, for a teacher of the classroom; raises Forbidden, NotFound, Conflict."""
        seat = await self._roster.seat(classroom_id, principal)
        if seat.role is not Role.TEACHER or principal.school_id is None:
            raise Forbidden("Only a teacher of the classroom opens a live quiz.")
        return await self._log.open(principal.school_id, classroom_id, quiz_id)

    def expel(self, ended: Callable[[Any], bool]) -> None:
        """Hang up on everybody whose log-in has ended."""
        for room in self._rooms.values():
            for member in room.members:
                if ended(member.principal):
                    member.end(Close.BAD_TOKEN, "session_ended")

    # ---------------------------------------------------------------- one socket

    async def serve(self, socket: Socket) -> None:
        """An accepted socket, from its first frame to its end."""
        await self._spawn(self._serve(socket))

    async def _serve(self, socket: Socket) -> None:
        with sockets.track_inprogress():
            try:
                join = await first_frame(socket, self.limits)
                principal = await self._authenticate(join.token)
                session_id, seat = await self._roster.admit(join, principal)
                async with self._visit(session_id) as room:
                    await self._attend(Connection(socket, self.limits, principal, seat), room, join)
            except EduError as error:
                await refuse(socket, error)
            except Disconnected:
                return

    async def _attend(self, member: Connection, room: Room, join: Join) -> None:
        await room.catch_up()
        answered = () if member.teaches else await self._log.answered(room.sitting, member.seat.user_id)
        room.enter(member, join, answered)
        if member.teaches:
            self._spawn(room.ask_people())
        try:
            await member.run(lambda frame: self._obey(room, member, frame))
        finally:
            room.leave(member)

    async def _obey(self, room: Room, member: Connection, frame: ClientMessage) -> None:
        match frame:
            case AnswerSubmitted():
                await self._answer(room, member, frame)
            case Sync():
                member.offer(encode(Synced(id=frame.id, server_ms=epoch_ms(now()))))
            case Refresh():
                await self._refresh(room, member, frame.token, frame.id)
            case _:
                await self._command(room, member, frame)

    async def _command(self, room: Room, member: Connection, command: Command) -> None:
        if not member.teaches:
            raise Forbidden("Only a teacher of the classroom may do that.")
        await room.command(command)

    async def _answer(self, room: Room, member: Connection, frame: AnswerSubmitted) -> None:
        if member.teaches:
            raise Forbidden("Only a pupil of the classroom answers.")
        received = now()
        await room.catch_up()  # a lock that another node wrote before this answer came counts
        state = room.state
        status: str = judge(state, frame.question_id, epoch_ms(received))
        if status == Verdict.NOT_OPEN:
            raise Conflict("This question is not open.", code="not_open")
        if status == Verdict.OPEN:
            answer = live_answer(room.sitting, state, frame, member.seat.user_id, received)
            status = await asyncio.shield(self._spawn(self._keep(room, answer)))
        ack = AnswerAck(id=frame.id, question_id=frame.question_id, status=status, received_ms=epoch_ms(received))
        member.offer(encode(ack))

    async def _keep(self, room: Room, answer: LiveAnswer) -> Outcome:
        """Goes on when the pupil's socket breaks meanwhile: the answer is kept and counted."""
        outcome = await self._submit(answer)
        room.answer_came()
        return outcome

    async def _refresh(self, room: Room, member: Connection, token: str, correlation: Correlation) -> None:
        try:
            principal = await self._authenticate(token)
            if principal.user_id != member.seat.user_id:
                raise Forbidden("That is another person's token.")
            seat = await self._roster.seat(room.sitting.classroom_id, principal)
        except EduError as error:
            member.end(close_code(error), error.code)
            raise
        member.renew(principal, seat)
        member.offer(encode(Refreshed(id=correlation)))

    # ---------------------------------------------------------------- the rooms

    @asynccontextmanager
    async def _visit(self, session_id: int) -> AsyncIterator[Room]:
        """The room, kept as long as somebody is in it and a moment longer."""
        room = await self._room(session_id)
        room.visitors += 1
        try:
            yield room
        finally:
            room.visitors -= 1
            asyncio.get_running_loop().call_later(self.limits.departure_s, self._forget_if_empty, room)

    async def _room(self, session_id: int) -> Room:
        if session_id in self._rooms:
            return self._rooms[session_id]
        if session_id not in self._loading:
            self._loading[session_id] = asyncio.create_task(self._load(session_id))
        return await asyncio.shield(self._loading[session_id])

    async def _load(self, session_id: int) -> Room:
        try:
            sitting = await self._log.sitting(session_id)
            self._rooms[session_id] = Room(sitting, self._log, self.limits, self.node, self._broker.publish)
            return self._rooms[session_id]
        finally:
            del self._loading[session_id]

    def _forget_if_empty(self, room: Room) -> None:
        session_id = room.sitting.session_id
        if room.visitors == 0 and self._rooms.get(session_id) is room:
            room.close()
            del self._rooms[session_id]
            self._spawn(self._broker.publish(PeopleHere(session_id=session_id, node=self.node, people=())))

    # ---------------------------------------------------------------- the other nodes

    def _hear(self, notice: AnyNotice) -> None:
        room = self._rooms.get(notice.session_id)
        if room is None or notice.node == self.node:
            return
        match notice:
            case LogGrew():
                if notice.off > room.state.off:
                    self._spawn(room.catch_up())
            case AnswersCame():
                room.histogram.touch()
            case PeopleHere():
                room.hear_people(notice)

    async def _poll(self) -> None:
        """Repairs what notices did not bring: lost ones, and all while the broker is away."""
        if not self._rooms:
            return
        for session_id, off in (await self._log.heads(list(self._rooms))).items():
            room = self._rooms.get(session_id)
            if room is not None and off > room.state.off:
                await room.catch_up()
            elif room is not None and not self._broker.up:
                room.histogram.touch()

    async def _tell_people(self) -> None:
        for room in self._rooms.values():
            room.tell_people()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except EduError as error:
                log.warning("live upkeep skipped", reason=error.code)
            except Exception as error:
                log.error("live upkeep failed", exc_info=error)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("live work failed", reason=getattr(error, "code", type(error).__name__))
