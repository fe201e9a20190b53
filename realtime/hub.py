"""All live rooms of one node: lets people in, passes their frames on, and keeps every room up with its log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from core.errors import EduError, Forbidden
from core.ids import new_id
from core.postgres import Postgres
from core.telemetry import log, sockets
from realtime.answers import Answers
from realtime.broker import AnswersCame, AnyNotice, Broker, LogGrew, PeopleChanged, PeopleHere
from realtime.connection import Connection, Disconnected, Socket, first_frame, refuse
from realtime.desk import Authenticate, Desk
from realtime.grading import AnswerWriter
from realtime.log import Chronicle, Opened, SessionLog
from realtime.pacing import Limits, Shared
from realtime.people import People
from realtime.protocol import Close, Join, Joined, Present, Rules, encode
from realtime.provisional import Provisional
from realtime.room import Room
from realtime.roster import Principal, Role, Roster, Seat
from realtime.shows import ItemHistory
from realtime.turns import Turns
from realtime.upkeep import Upkeep, every
from realtime.welcome import welcome

T = TypeVar("T")
Admitted: TypeAlias = Callable[[Principal, int, Seat], Awaitable[None]]
"""Is told who came into which session, and as what; its errors close the door."""
Guard: TypeAlias = Callable[[Principal], AbstractAsyncContextManager[None]]
"""Around the look-up of a join code: slows whoever guesses."""
RETRY_MS = 5000
"""After a restart clients come back within this time, each at its own random moment."""


class LiveHub:
    """The door of `realtime`: `serve` a socket, `open_room` for a teacher. One for each process."""

    def __init__(
        self,
        postgres: Postgres,
        broker: Broker,
        authenticate: Authenticate,
        writer: AnswerWriter,
        limits: Limits | None = None,
        admitted: Admitted | None = None,
        chronicle: Chronicle | None = None,
        history: ItemHistory | None = None,
    ) -> None:
        self._admitted = admitted
        self._history = history
        self.node = str(new_id())
        self.limits = limits or Limits()
        self._log = SessionLog(postgres, chronicle)
        self._answers = Answers(postgres)
        self._people = People(postgres)
        self._roster = Roster(postgres)
        self._broker = broker
        self._authenticate = authenticate
        self._rooms: dict[int, Room] = {}
        self._loading: dict[int, asyncio.Task[Room]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._chores: list[asyncio.Task[None]] = []
        self._asking: set[Room] = set()
        self._heads = Shared(self._compare_heads)
        provisional = Provisional(postgres)
        self._desk = Desk(
            writer,
            self._answers,
            provisional,
            self._people,
            Turns(postgres),
            self._roster,
            authenticate,
            self._fresh,
            broker.publish,
            self._spawn,
            self.node,
        )
        self._upkeep = Upkeep(
            postgres,
            self._rooms,
            self._log,
            self._roster,
            provisional,
            writer,
            self._desk,
            self._new_room,
            lambda: broker.up,
        )

    async def __aenter__(self) -> Self:
        """Start."""
        await self._broker.start(self._hear)
        chores = (
            (self.limits.poll_s, self._upkeep.poll),
            (self.limits.follow_s, self._upkeep.follow_people),
            (self.limits.settle_s, self._upkeep.lock_overdue),
            (self.limits.presence_s, self._tell_people),
        )
        self._chores = [asyncio.create_task(every(seconds, work)) for seconds, work in chores]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send everybody away, to come back to another node, each after his own short while."""
        for room in self._rooms.values():
            for member in room.members:
                member.end(Close.RESTART, f"retry_ms={random.randrange(RETRY_MS)}")  # noqa: S311 - spreads load
        for task in self._chores:
            task.cancel()
        unfinished = {*self._tasks, *self._chores}
        if unfinished:
            await asyncio.wait(unfinished, timeout=self.limits.close_s)
        for room in self._rooms.values():
            room.close()
        self._rooms.clear()
        await self._broker.stop(self._hear)

    async def open_room(
        self,
        principal: Principal,
        classroom_id: int,
        quiz_id: int,
        rules: Rules | None = None,
        chosen: Mapping[int, int] | None = None,
    ) -> Opened:
        """A new live session of a quiz, for a teacher of the classroom; raises Forbidden, NotFound, Conflict.

        `chosen`: pupil → number of his team; the others are dealt at random."""
        seat = await self._roster.seat(classroom_id, principal)
        if seat.role is not Role.TEACHER or principal.school_id is None:
            raise Forbidden("Only a teacher of the classroom opens a live quiz.")
        return await self._log.open(principal.school_id, classroom_id, quiz_id, rules, chosen)

    def expel(self, ended: Callable[[Any], bool]) -> None:
        """Hang up on everybody whose log-in has ended."""
        for room in self._rooms.values():
            for member in room.members:
                if ended(member.principal):
                    member.end(Close.REVOKED, "session_ended")

    # ---------------------------------------------------------------- one socket

    async def serve(self, socket: Socket, guard: Guard | None = None) -> None:
        """An accepted socket, from its first frame to its end."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)  # a stop waits for it
        try:
            await self._serve(socket, guard)
        finally:
            if task is not None:
                self._tasks.discard(task)

    async def _serve(self, socket: Socket, guard: Guard | None) -> None:
        with sockets.track_inprogress():
            try:
                join = await first_frame(socket, self.limits)
                principal = await self._authenticate(join.token)
                guarded = guard is not None and join.join_code is not None and join.session_id is None
                async with guard(principal) if guard is not None and guarded else nullcontext():
                    session_id, seat = await self._roster.admit(join, principal)
                nickname = await self._welcomed(session_id, seat)
                if self._admitted:
                    await self._admitted(principal, session_id, seat)
                async with self._visit(session_id) as room:
                    await self._attend(Connection(socket, self.limits, principal, seat), room, join, nickname)
            except EduError as error:
                await refuse(socket, error)
            except Disconnected:
                return

    async def _welcomed(self, session_id: int, seat: Seat) -> str | None:
        """The nickname that the pupil has here already; raises Forbidden for one who was sent out."""
        if seat.role is Role.TEACHER:
            return None
        nickname, kicked = await self._people.known(session_id, seat.user_id)
        if kicked:
            raise Forbidden("Your teacher has sent you out of this quiz.", code="kicked")
        return nickname

    async def _attend(self, member: Connection, room: Room, join: Join, nickname: str | None) -> None:
        if room.sitting.rules.nicknames and not member.teaches and nickname is None:
            nickname = await self._people.nickname(room.sitting.session_id, member.seat.user_id, join.nickname or "")
        person = await self._person(room, member, nickname)
        await room.catch_up()
        room.enter(member, person, encode(await self._welcome(room, member, join, person.team)))
        if not room.shows.told:
            self._spawn(room.shows.ask_people())
        self._close_the_oldest(room, member)
        try:
            await member.run(lambda frame: self._desk.obey(room, member, frame))
        finally:
            room.leave(member, on_purpose=member.stays_away)
        await member.hang_up()

    async def _person(self, room: Room, member: Connection, nickname: str | None) -> Present:
        seat, rules, team = member.seat, room.sitting.rules, None
        if rules.teams and not member.teaches:
            number = await self._people.team(room.sitting.session_id, seat.user_id, len(rules.teams))
            team = rules.teams[number]
        return Present(seat.user_id, seat.name, nickname if rules.nicknames else None, team)

    async def _welcome(self, room: Room, member: Connection, join: Join, team: str | None) -> Joined:
        if member.teaches:
            return welcome(room, member, join, self.limits)
        own = await self._answers.own(room.sitting, member.seat.user_id)
        turn = await self._desk.turn(room, member.seat.user_id)
        if turn is not None:
            self._desk.watch_turn(room, member, turn)
        return welcome(room, member, join, self.limits, team, own, turn)

    def _close_the_oldest(self, room: Room, newest: Connection) -> None:
        for member in room.sockets_of(newest.seat.user_id)[: -self.limits.sockets_each]:
            member.end(Close.REPLACED, "replaced")

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
            self._rooms[session_id] = await self._new_room(session_id)
            return self._rooms[session_id]
        finally:
            del self._loading[session_id]

    async def _new_room(self, session_id: int) -> Room:
        sitting = await self._log.sitting(session_id)
        room = Room(
            sitting,
            self._log,
            self._answers,
            self._people,
            self.limits,
            self.node,
            self._broker.publish,
            self._upkeep.settle,
            self._history,
        )
        room.on_start = lambda: self._begin_turns(room)
        room.kicked = (await self._people.kicked([session_id])).get(session_id, ())
        await room.catch_up()
        await room.board.recall(room.state, room.events)
        return room

    def _begin_turns(self, room: Room) -> None:
        if room.sitting.rules.mode == "self_paced":
            for member in room.members:
                if not member.teaches:
                    self._spawn(self._desk.give_turn(room, member))

    def _forget_if_empty(self, room: Room) -> None:
        session_id = room.sitting.session_id
        if room.visitors == 0 and self._rooms.get(session_id) is room:
            room.close()
            del self._rooms[session_id]
            self._spawn(self._broker.publish(PeopleHere(session_id=session_id, node=self.node, people=())))

    async def _fresh(self, room: Room) -> None:
        """Bring the room up with its log; one look at all rooms that wait, however many answers come at once."""
        self._asking.add(room)
        await self._heads()
        if room in self._asking:  # the look failed or came before
            await room.catch_up()

    async def _compare_heads(self) -> None:
        asking, self._asking = self._asking, set()
        heads = await self._log.heads([room.sitting.session_id for room in asking])
        behind = [room for room in asking if heads.get(room.sitting.session_id, 0) > room.state.off]
        await asyncio.gather(*(room.catch_up() for room in behind))

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
                room.shows.answers_elsewhere()
            case PeopleHere():
                room.hear_people(notice)
            case PeopleChanged():
                self._spawn(self._desk.follow_kicks({notice.session_id: room}))

    async def _tell_people(self) -> None:
        for room in self._rooms.values():
            room.shows.tell_people()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("live work failed", reason=getattr(error, "code", type(error).__name__))
