"""How things stand in a room, at most four times a second: the state frames, and the notices to other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from core.errors import EduError
from core.telemetry import log
from realtime.answers import Answers
from realtime.broker import AnswersCame, AnyNotice, PeopleHere
from realtime.connection import Connection
from realtime.news import People, news
from realtime.pacing import Limits, Throttle
from realtime.protocol import Histogram, History, Host, Insight, Leaderboard, PresenceState, Progress, Result, encode
from realtime.protocol.told import News, State
from realtime.session import Sitting
from realtime.state import ANSWERABLE, Phase

if TYPE_CHECKING:
    from realtime.room import Room

MOST_WAITING = 50


class ItemHistory(Protocol):
    """How a question was answered before, from the cubes; api hands it over."""

    async def __call__(self, sitting: Sitting, question_id: int, /) -> History | None:
        """The history in other sittings of the school; None where there is none."""
        ...


class Shows:
    """The state frames of one room on one node."""

    def __init__(
        self,
        room: Room,
        answers: Answers,
        limits: Limits,
        node: str,
        publish: Callable[[AnyNotice], Awaitable[None]],
        history: ItemHistory | None,
    ) -> None:
        self._room = room
        self._answers = answers
        self._node = node
        self._publish = publish
        self._ask_history = history
        self._history: dict[int, History | None] = {}
        self._asking: asyncio.Task[None] | None = None
        self._stale = True
        self._hosted = False
        self._known: People | None = None
        self.told = False
        self.histogram = Throttle(self._show_histogram, limits.state_s)
        self.people = Throttle(self._show_people, limits.state_s)
        self.scores = Throttle(self._show_scores, limits.state_s)
        self.progress = Throttle(self._show_progress, limits.state_s)
        self._came = Throttle(self._tell_answers, limits.state_s)
        self._telling = Throttle(self._tell_people, limits.state_s)

    # ---------------------------------------------------------------- answers

    def new_question(self, question_id: int) -> None:
        """Another question is shown: its answers are read once, its history is asked for."""
        self._stale = True
        if self._ask_history is not None and question_id not in self._history and self._teachers():
            self._asking = asyncio.create_task(self._read_history(self._ask_history, question_id))

    async def _read_history(self, ask: ItemHistory, question_id: int) -> None:
        try:
            self._history[question_id] = await ask(self._room.sitting, question_id)
        except EduError as error:
            log.info("no history of a question", reason=error.code)
        self.histogram.touch()

    def answer_came(self) -> None:
        """An answer was kept on this node: show it, and hint the others."""
        self.histogram.touch()
        self._came.touch()
        if self._room.sitting.rules.mode == "self_paced":
            self.progress.touch()

    def answers_elsewhere(self) -> None:
        """Answers were kept on another node."""
        self._stale = True
        self.histogram.touch()
        self.progress.touch()

    async def _show_histogram(self) -> None:
        room, ballots = self._room, self._room.ballots
        shown = room.state.phase in ANSWERABLE or room.state.phase is Phase.LOCKED
        if ballots is None or not shown or not self._teachers():
            return
        if self._stale:
            self._stale = False
            await self._answers.fill(room.sitting, ballots)
        histogram = Histogram(
            question_id=ballots.question_id,
            counts=ballots.counts(),
            answered=len(ballots.chosen),
            of=ballots.of,
        )
        self._to_teachers(histogram)
        self._to_teachers(self._insight())

    def _insight(self) -> Insight:
        ballots, room = self._room.ballots, self._room
        if ballots is None:
            raise ValueError("no question")
        here = [person.user_id for person in room.pupils.everybody(_time())]
        waiting = ballots.waiting(here)
        wrong, number = ballots.top_wrong()
        return Insight(
            question_id=ballots.question_id,
            waiting=tuple(waiting[:MOST_WAITING]),
            waiting_count=len(waiting),
            top_wrong=wrong,
            top_wrong_count=number,
            history=self._history.get(ballots.question_id),
        )

    async def _show_progress(self) -> None:
        room = self._room
        if room.sitting.rules.mode == "self_paced" and self._teachers():
            done = await self._answers.progress(room.sitting)
            self._to_teachers(Progress(done=done, of=len(room.sitting.questions)))

    async def _show_scores(self) -> None:
        room = self._room
        await room.board.read(room.state)
        if room.board.shown is None:
            return
        text = encode(room.board.shown)
        for member in room.members:
            if member.teaches or room.sitting.rules.leaderboard:
                member.offer_state(Leaderboard.kind, text)
            if not member.teaches and (result := room.board.result(member.seat.user_id)) is not None:
                member.offer_state(Result.kind, encode(result))

    # ---------------------------------------------------------------- people

    def tell_people(self) -> None:
        """Show who is here, and tell the other nodes; nothing once the room is left."""
        if self._room.visitors:
            self.people.touch()
            self._telling.touch()

    def hear_people(self, *, answer: bool) -> None:
        """Another node told who is there, and perhaps asks."""
        self.people.touch()
        if answer:
            self._telling.touch()

    async def ask_people(self) -> None:
        """Tell who is here and ask the other nodes to tell theirs."""
        self.told = True
        await self._publish(self._people_here(ask=True))

    @property
    def hosted(self) -> bool:
        """Whether a teacher is in the room, on whichever node."""
        return bool(self._room.teachers.everybody(_time()))

    async def _show_people(self) -> None:
        room = self._room
        before, self._known = self._known, None
        if self._teachers():
            self._known = People(room.pupils.everybody(_time()), room.kicked)
            for frame in news(before, self._known):
                self._to_teachers(frame)
            self._to_teachers(PresenceState(students=self._known.here, kicked=self._known.kicked))
            self.histogram.touch()
        if self.hosted is not self._hosted:
            self._hosted = self.hosted
            text = encode(Host(present=self._hosted))
            for member in room.members:
                member.offer_state(Host.kind, text)

    async def _tell_answers(self) -> None:
        await self._publish(AnswersCame(session_id=self._room.sitting.session_id, node=self._node))

    async def _tell_people(self) -> None:
        await self._publish(self._people_here())

    def _people_here(self, *, ask: bool = False) -> PeopleHere:
        room, at = self._room, _time()
        return PeopleHere(
            session_id=room.sitting.session_id,
            node=self._node,
            people=room.pupils.here(at),
            teachers=room.teachers.here(at),
            ask=ask,
        )

    # ---------------------------------------------------------------- to whom

    def _teachers(self) -> list[Connection]:
        return [member for member in self._room.members if member.teaches]

    def _to_teachers(self, frame: State | News) -> None:
        text = encode(frame)
        for member in self._teachers():
            if isinstance(frame, State):
                member.offer_state(frame.kind, text)
            else:
                member.offer(text)

    def stop(self) -> None:
        """Stop every timer."""
        for throttle in (self.histogram, self.people, self.scores, self.progress, self._came, self._telling):
            throttle.stop()
        if self._asking is not None:
            self._asking.cancel()


def _time() -> float:
    return asyncio.get_running_loop().time()
