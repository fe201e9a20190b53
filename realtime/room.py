"""One live quiz on one node: its log so far, its people, and what they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from core.clock import epoch_ms, now
from core.errors import Conflict, EduError
from realtime.broker import AnswersCame, AnyNotice, LogGrew, PeopleHere
from realtime.connection import Connection
from realtime.log import SessionLog
from realtime.pacing import Limits, Shared, Throttle
from realtime.presence import Presence
from realtime.protocol import (
    Command,
    Event,
    Histogram,
    Join,
    Joined,
    LockQuestion,
    LogFrame,
    PresenceState,
    Present,
    RevealQuestion,
    encode,
)
from realtime.session import GRACE_MS, Phase, Sitting, State, Tally, decide, evolve, picture

ATTEMPTS = 5
"""How often a command is decided anew when other commands were first."""


class Room:
    """Follows the session's log, whoever wrote it, and tells every socket; commands are decided here."""

    def __init__(
        self,
        sitting: Sitting,
        log: SessionLog,
        limits: Limits,
        node: str,
        publish: Callable[[AnyNotice], Awaitable[None]],
    ) -> None:
        self.sitting = sitting
        self.state = State()
        self.events: list[LogFrame] = []
        self.members: dict[Connection, Present | None] = {}
        self.visitors = 0
        self.presence = Presence(limits.departure_s, node_s=3 * limits.presence_s)
        self.catch_up = Shared(self._read)
        self.histogram = Throttle(self._show_histogram, limits.state_s)
        self.people = Throttle(self._show_people, limits.state_s)
        self._answers = Throttle(self._tell_answers, limits.state_s)
        self._telling = Throttle(self._tell_people, limits.state_s)
        self._log = log
        self._limits = limits
        self._node = node
        self._publish = publish
        self._commanding = asyncio.Lock()
        self._closing: asyncio.TimerHandle | None = None
        self._locking: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- what happens

    async def command(self, command: Command) -> None:
        """Decide, write, tell; raises what `decide` raises, or Conflict when others were always first."""
        async with self._commanding:
            events = await self._decide(command)
        self.advance(events)
        await self._publish(LogGrew(session_id=self.sitting.session_id, node=self._node, off=events[-1].off))

    async def _decide(self, command: Command) -> tuple[LogFrame, ...]:
        for _ in range(ATTEMPTS):
            await self.catch_up()
            state = self.state
            events = decide(self.sitting, state, command, epoch_ms(now()), await self._tally(state, command))
            if await self._log.append(self.sitting.session_id, state, events):
                return events
        raise Conflict("Other commands came first. Try again.", code="busy")

    async def _tally(self, state: State, command: Command) -> Tally | None:
        if not isinstance(command, RevealQuestion) or state.question_id is None:
            return None
        return await self._log.tally(self.sitting, state.question_id)

    async def _read(self) -> None:
        self.advance(await self._log.since(self.sitting.session_id, self.state.off))

    def advance(self, events: Iterable[LogFrame]) -> None:
        """Take the events that are new, in order, and tell everybody."""
        for event in events:
            if event.off > self.state.off:
                self.state = evolve(self.state, event)
                self.events.append(event)
                self._broadcast(event)

    def _broadcast(self, event: Event) -> None:
        text = encode(event)
        for member in self.members:
            member.offer(text)
        self.histogram.touch()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self.state.phase is Phase.QUESTION and self.state.closes_at is not None:
            left = (self.state.closes_at + GRACE_MS - epoch_ms(now())) / 1000
            self._closing = asyncio.get_running_loop().call_later(max(0.0, left), self._time_is_up)

    def _time_is_up(self) -> None:
        self._locking = asyncio.create_task(self._lock(self.state.question_id))

    async def _lock(self, question_id: int | None) -> None:
        try:
            await self.command(LockQuestion(question_id=question_id))
        except Conflict:
            return  # somebody locked it before us
        except EduError:
            self._closing = asyncio.get_running_loop().call_later(self._limits.poll_s, self._time_is_up)

    # ---------------------------------------------------------------- who is here

    def enter(self, member: Connection, join: Join, answered: Iterable[int]) -> None:
        """Send the whole room and count the socket in; nothing can happen between the two."""
        member.offer(encode(self._joined(member, join, answered)))
        self.members[member] = None
        self._count_in(member)

    def _joined(self, member: Connection, join: Join, answered: Iterable[int]) -> Joined:
        since = join.off
        recovered = since is not None and join.session_id == self.sitting.session_id and since <= self.state.off
        return Joined(
            session_id=self.sitting.session_id,
            role=member.seat.role,
            user_id=member.seat.user_id,
            off=self.state.off,
            recovered=recovered,
            log=tuple(self.events[since:]) if recovered else (),
            state=picture(self.events, answered),
            server_ms=epoch_ms(now()),
            ping_s=self._limits.ping_s,
            max_frame=self._limits.frame_bytes,
        )

    def _count_in(self, member: Connection) -> None:
        if not member.teaches:
            person = Present(member.seat.user_id, member.seat.name)
            self.members[member] = person
            self.presence.enter(person)
            self.tell_people()
            return
        self.histogram.touch()
        self.people.touch()

    def leave(self, member: Connection) -> None:
        """Count the socket out; a pupil stays listed for a moment."""
        person = self.members.pop(member)
        if person is not None:
            loop = asyncio.get_running_loop()
            self.presence.leave(person, loop.time())
            loop.call_later(self._limits.departure_s, self.tell_people)

    def tell_people(self) -> None:
        """Show who is here, and tell the other nodes; nothing once the room is left."""
        if self.visitors:
            self.people.touch()
            self._telling.touch()

    def hear_people(self, notice: PeopleHere) -> None:
        """Another node told who is there."""
        self.presence.hear(notice.node, notice.people, asyncio.get_running_loop().time())
        self.people.touch()
        if notice.ask:
            self._telling.touch()

    async def ask_people(self) -> None:
        """Tell who is here and ask the other nodes to tell theirs."""
        await self._publish(self._people_here(ask=True))

    def answer_came(self) -> None:
        """An answer was kept on this node."""
        self.histogram.touch()
        self._answers.touch()

    # ---------------------------------------------------------------- how things stand

    async def _show_histogram(self) -> None:
        question_id = self.state.question_id
        if question_id is None or self.state.phase not in (Phase.QUESTION, Phase.LOCKED) or not self._teachers():
            return
        tally = await self._log.tally(self.sitting, question_id)
        frame = Histogram(question_id=question_id, counts=dict(tally.counts), answered=tally.answered, of=tally.of)
        self._show(Histogram.kind, encode(frame))

    async def _show_people(self) -> None:
        people = self.presence.everybody(asyncio.get_running_loop().time())
        self._show(PresenceState.kind, encode(PresenceState(students=people)))

    def _show(self, kind: str, text: str) -> None:
        for member in self._teachers():
            member.offer_state(kind, text)

    def _teachers(self) -> list[Connection]:
        return [member for member in self.members if member.teaches]

    async def _tell_answers(self) -> None:
        await self._publish(AnswersCame(session_id=self.sitting.session_id, node=self._node))

    async def _tell_people(self) -> None:
        await self._publish(self._people_here())

    def _people_here(self, *, ask: bool = False) -> PeopleHere:
        here = self.presence.here(asyncio.get_running_loop().time())
        return PeopleHere(session_id=self.sitting.session_id, node=self._node, people=here, ask=ask)

    def close(self) -> None:
        """Stop every timer."""
        for throttle in (self.histogram, self.people, self._answers, self._telling):
            throttle.stop()
        if self._closing is not None:
            self._closing.cancel()
