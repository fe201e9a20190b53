"""One live quiz on one node: its log so far, its people, and what they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from core.clock import epoch_ms, now
from core.errors import Conflict, EduError
from realtime.answers import Answers
from realtime.ballots import Ballots
from realtime.board import Board
from realtime.broker import AnyNotice, LogGrew, PeopleHere
from realtime.connection import Connection
from realtime.grading import Graded
from realtime.log import SessionLog
from realtime.pacing import Limits, Shared
from realtime.people import People
from realtime.presence import Presence
from realtime.protocol import (
    LockQuestion,
    LogFrame,
    Present,
    QuestionDisplayed,
    QuestionLocked,
    QuestionRevealed,
    QuizCommand,
    QuizEnded,
    QuizStarted,
    RevealQuestion,
    encode,
)
from realtime.session import Sitting, Tally, decide
from realtime.shows import ItemHistory, Shows
from realtime.state import ANSWERABLE, GRACE_MS, State, evolve

ATTEMPTS = 5
"""How often a command is decided anew when other commands were first."""
Publish = Callable[[AnyNotice], Awaitable[None]]


class Room:
    """Follows the session's log, whoever wrote it, and tells every socket; commands are decided here."""

    def __init__(
        self,
        sitting: Sitting,
        log: SessionLog,
        answers: Answers,
        people: People,
        limits: Limits,
        node: str,
        publish: Publish,
        settle: Callable[[int], Awaitable[None]],
        history: ItemHistory | None = None,
    ) -> None:
        self.sitting = sitting
        self.state = State()
        self.events: list[LogFrame] = []
        self.members: dict[Connection, Present] = {}
        self.visitors = 0
        self.kicked: tuple[int, ...] = ()
        self.ballots: Ballots | None = None
        self.pupils = Presence(limits.departure_s, node_s=3 * limits.presence_s)
        self.teachers = Presence(limits.departure_s, node_s=3 * limits.presence_s)
        self.board = Board(sitting, answers, people)
        self.catch_up = Shared(self._read)
        self.settle = settle
        self.shows = Shows(self, answers, limits, node, publish, history)
        self.on_start: Callable[[], None] = lambda: None
        self._log = log
        self._answers = answers
        self._limits = limits
        self._node = node
        self._publish = publish
        self._commanding = asyncio.Lock()
        self._closing: asyncio.TimerHandle | None = None
        self._locking: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- what happens

    async def command(self, command: QuizCommand, actor: int | None = None) -> int:
        """Decide, write, tell; the new end of the log. Raises what `decide` raises, or Conflict (always too late)."""
        async with self._commanding:
            events = await self._decide(command, actor)
        self.advance(events)
        await self._publish(LogGrew(session_id=self.sitting.session_id, node=self._node, off=events[-1].off))
        if self.sitting.rules.changes and any(isinstance(event, QuestionLocked) for event in events):
            await self.settle(self.sitting.session_id)
        return events[-1].off

    async def _decide(self, command: QuizCommand, actor: int | None) -> tuple[LogFrame, ...]:
        for _ in range(ATTEMPTS):
            state, at = self.state, epoch_ms(now())
            try:
                events = decide(self.sitting, state, command, at, await self._tally(state, command))
            except EduError:
                await self.catch_up()
                if self.state.off == state.off:
                    raise
                continue  # it was decided on what this node had not heard of yet
            if await self._log.append(self.sitting, state, events, actor):
                return events
            await self.catch_up()
        raise Conflict("Other commands came first. Try again.", code="busy")

    async def _tally(self, state: State, command: QuizCommand) -> Tally | None:
        if not isinstance(command, RevealQuestion) or state.question_id is None or state.round is None:
            return None
        return await self._answers.tally(self.sitting, state.question_id, state.round.run)

    async def _read(self) -> None:
        self.advance(await self._log.since(self.sitting.session_id, self.state.off))

    def advance(self, events: Iterable[LogFrame]) -> None:
        """Take the events that are new, in order, and tell everybody."""
        for event in events:
            if event.off > self.state.off:
                self.state = evolve(self.state, event)
                self.events.append(event)
                self._tell(event)

    def _tell(self, event: LogFrame) -> None:
        self.broadcast(encode(event))
        match event:
            case QuizStarted():
                self.on_start()
            case QuestionDisplayed():
                self.ballots = Ballots(event.question_id, event.run)
                self.shows.new_question(event.question_id)
            case QuestionRevealed() | QuizEnded():
                self.shows.scores.touch()
        self.shows.histogram.touch()
        self._set_timer()

    def broadcast(self, text: str) -> None:
        """Offer the same text to every socket."""
        for member in self.members:
            member.offer(text)

    def _set_timer(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self.state.closes_at is not None:
            left = (self.state.closes_at + GRACE_MS - epoch_ms(now())) / 1000
            self._closing = asyncio.get_running_loop().call_later(max(0.0, left), self._time_is_up)

    def _time_is_up(self) -> None:
        self._locking = asyncio.create_task(self.lock_overdue())

    async def lock_overdue(self) -> None:
        """Lock the open question if its time is up; nodes may try at once, one of them does it."""
        try:
            await self.catch_up()
            closes_at = self.state.closes_at
            if closes_at is not None and closes_at + GRACE_MS <= epoch_ms(now()):
                await self.command(LockQuestion(question_id=self.state.question_id))
        except Conflict:
            return  # somebody locked it before us
        except EduError:
            self._closing = asyncio.get_running_loop().call_later(self._limits.poll_s, self._time_is_up)

    def answer_came(self, answer: Graded) -> None:
        """An answer was kept on this node."""
        if self.ballots is not None and self.ballots.is_of(answer.question_id, answer.run):
            self.ballots.put(answer.student_id, answer.choice, answer.correct)
        self.shows.answer_came()

    @property
    def is_open(self) -> bool:
        """Whether a question is open, its clock running or not."""
        return self.state.phase in ANSWERABLE

    # ---------------------------------------------------------------- who is here

    def enter(self, member: Connection, person: Present, welcome: str) -> None:
        """Send the whole room and count the socket in; nothing can happen between the two."""
        member.offer(welcome)
        self.members[member] = person
        (self.teachers if member.teaches else self.pupils).enter(person)
        self.shows.tell_people()
        if member.teaches:
            self.shows.histogram.touch()
            self.shows.progress.touch()

    def leave(self, member: Connection, *, on_purpose: bool = False) -> None:
        """Count the socket out; the person stays listed for a moment, unless he stays away."""
        person = self.members.pop(member)
        loop = asyncio.get_running_loop()
        grace = self._limits.departure_s if on_purpose else 0.0
        (self.teachers if member.teaches else self.pupils).leave(person, loop.time() - grace)
        loop.call_later(0 if on_purpose else self._limits.departure_s, self.shows.tell_people)

    def hear_people(self, notice: PeopleHere) -> None:
        """Another node told who is there."""
        at = asyncio.get_running_loop().time()
        self.pupils.hear(notice.node, notice.people, at)
        self.teachers.hear(notice.node, notice.teachers, at)
        self.shows.hear_people(answer=notice.ask)

    def sockets_of(self, user_id: int) -> list[Connection]:
        """The person's sockets on this node, the oldest first."""
        return [member for member in self.members if member.seat.user_id == user_id]

    def close(self) -> None:
        """Stop every timer."""
        self.shows.stop()
        if self._closing is not None:
            self._closing.cancel()
