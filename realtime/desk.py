"""What becomes of each frame of a member: answers, commands, and the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from core.clock import epoch_ms, now
from core.errors import Conflict, EduError, Forbidden
from realtime.answers import Answers
from realtime.broker import AnyNotice, PeopleChanged
from realtime.connection import Connection, close_code
from realtime.grading import AnswerWriter, Graded, LiveAnswer, Outcome
from realtime.people import People
from realtime.protocol import (
    AllowStudent,
    AnswerAck,
    AnswerSubmitted,
    ClientMessage,
    Close,
    Command,
    CommandAck,
    Correlation,
    KickStudent,
    Leave,
    Left,
    Pong,
    Refresh,
    Refreshed,
    Sync,
    Synced,
    Turn,
    encode,
)
from realtime.provisional import Provisional
from realtime.room import Room
from realtime.roster import Principal, Roster
from realtime.state import GRACE_MS, Phase, Verdict, elapsed, judge
from realtime.turns import Turns, judge_turn

T = TypeVar("T")
Authenticate: TypeAlias = Callable[[str], Awaitable[Principal]]


class Spawn(Protocol):
    """Starts work that goes on when its socket breaks."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        """Start it."""
        ...


class Desk:
    """Obeys the frames of all rooms of a node."""

    def __init__(
        self,
        writer: AnswerWriter,
        answers: Answers,
        provisional: Provisional,
        people: People,
        turns: Turns,
        roster: Roster,
        authenticate: Authenticate,
        fresh: Callable[[Room], Awaitable[None]],
        publish: Callable[[AnyNotice], Awaitable[None]],
        spawn: Spawn,
        node: str,
    ) -> None:
        self._writer = writer
        self._answers = answers
        self._provisional = provisional
        self._people = people
        self._turns = turns
        self._roster = roster
        self._authenticate = authenticate
        self._fresh = fresh
        self._publish = publish
        self._spawn = spawn
        self._node = node

    async def obey(self, room: Room, member: Connection, frame: ClientMessage) -> None:
        """Do what the frame says; raises an EduError when that cannot be."""
        match frame:
            case Pong():
                member.pong(frame.nonce)
            case AnswerSubmitted():
                await self._answer(room, member, frame)
            case Sync():
                member.offer(encode(Synced(id=frame.id, server_ms=epoch_ms(now()))))
            case Refresh():
                await self._refresh(room, member, frame.token, frame.id)
            case Leave():
                member.offer(encode(Left(id=frame.id)))
                member.end(Close.BYE, "left")
            case _:
                await self._command(room, member, frame)

    # ---------------------------------------------------------------- teachers

    async def _command(self, room: Room, member: Connection, command: Command) -> None:
        if not member.teaches:
            raise Forbidden("Only a teacher of the classroom may do that.")
        if isinstance(command, KickStudent | AllowStudent):
            await self._send_out(room, command)
            off = room.state.off
        else:
            off = await room.command(command, member.seat.user_id)
        if command.id is not None:
            member.offer(encode(CommandAck(id=command.id, off=off)))

    async def _send_out(self, room: Room, command: KickStudent | AllowStudent) -> None:
        session_id = room.sitting.session_id
        if isinstance(command, KickStudent):
            await self._people.kick(session_id, command.user_id)
        else:
            await self._people.allow(session_id, command.user_id)
        await self.follow_kicks({session_id: room})
        await self._publish(PeopleChanged(session_id=session_id, node=self._node))

    async def follow_kicks(self, rooms: dict[int, Room]) -> None:
        """Close the sockets of those who were sent out, and tell the teachers."""
        kicked = await self._people.kicked(rooms)
        for session_id, room in rooms.items():
            found = kicked.get(session_id, ())
            if found != room.kicked:
                room.kicked = found
                room.shows.people.touch()
            for member in [member for user in found for member in room.sockets_of(user)]:
                member.end(Close.KICKED, "kicked")

    # ---------------------------------------------------------------- pupils

    async def _answer(self, room: Room, member: Connection, frame: AnswerSubmitted) -> None:
        if member.teaches:
            raise Forbidden("Only a pupil of the classroom answers.")
        received = now()
        await self._fresh(room)  # a lock that another node wrote before this answer came counts
        answer, verdict = await self._judged(room, member, frame, received)
        if verdict == Verdict.NOT_OPEN:
            raise Conflict("This question is not open.", code="not_open")
        status: str = verdict
        if answer is not None:
            status = await asyncio.shield(self._spawn(self._keep(room, self._writer.grade(answer))))
        ack = AnswerAck(id=frame.id, question_id=frame.question_id, status=status, received_ms=epoch_ms(received))
        member.offer(encode(ack))
        if room.sitting.rules.mode == "self_paced":
            await self.give_turn(room, member)

    async def _judged(
        self, room: Room, member: Connection, frame: AnswerSubmitted, received: datetime
    ) -> tuple[LiveAnswer | None, Verdict]:
        """The answer if it comes in time, its time found by the server alone."""
        state = room.state
        if room.sitting.rules.mode == "self_paced":
            return await self._judged_turn(room, member, frame, received)
        verdict = judge(state, frame.question_id, epoch_ms(received))
        if verdict is not Verdict.OPEN:
            return None, verdict
        asked = state.rounds[frame.question_id]
        took = elapsed(asked, epoch_ms(received), member.trips.credit_ms)
        return _live(room, member, frame, asked.run, took, received), verdict

    async def _judged_turn(
        self, room: Room, member: Connection, frame: AnswerSubmitted, received: datetime
    ) -> tuple[LiveAnswer | None, Verdict]:
        at = epoch_ms(received)
        if room.state.phase is not Phase.STARTED:
            return None, Verdict.LOCKED if room.state.phase is Phase.ENDED else Verdict.NOT_OPEN
        own = await self._answers.own(room.sitting, member.seat.user_id)
        turn = await self._turns.current(room.sitting, member.seat.user_id, own, at)
        verdict = judge_turn(turn, frame.question_id, room.sitting.questions)
        if frame.question_id in own:
            verdict = Verdict.OPEN  # sent again: the record says that it is a duplicate
        if verdict is not Verdict.OPEN:
            return None, verdict
        took = max(0, round(at - (turn.opens_at or at) - member.trips.credit_ms))
        return _live(room, member, frame, 1, took, received), verdict

    async def _keep(self, room: Room, answer: Graded) -> Outcome:
        """Goes on when the pupil's socket breaks meanwhile: the answer is kept and counted."""
        if room.sitting.rules.changes:
            outcome = await self._provisional.put(answer)
        else:
            (outcome,) = await self._writer.keep([answer])
        if outcome in (Outcome.ACCEPTED, Outcome.CHANGED):
            room.answer_came(answer)
        return outcome

    async def turn(self, room: Room, user_id: int) -> Turn | None:
        """The pupil's turn in a self-paced room that runs."""
        if room.sitting.rules.mode != "self_paced" or room.state.phase is not Phase.STARTED:
            return None
        own = await self._answers.own(room.sitting, user_id)
        return await self._turns.current(room.sitting, user_id, own, epoch_ms(now()))

    async def give_turn(self, room: Room, member: Connection) -> None:
        """Send the pupil's turn to all his sockets here, and the next one when its time is up."""
        turn = await self.turn(room, member.seat.user_id)
        if turn is None:
            return
        text = encode(turn)
        for socket in room.sockets_of(member.seat.user_id):
            socket.offer_state(Turn.kind, text)
        self.watch_turn(room, member, turn)

    def watch_turn(self, room: Room, member: Connection, turn: Turn) -> None:
        """Move on when the turn's time is up."""
        if turn.closes_at is not None:
            left = (turn.closes_at + GRACE_MS + 1 - epoch_ms(now())) / 1000
            member.wake(max(0.0, left), lambda: self._spawn(self.give_turn(room, member)))

    # ---------------------------------------------------------------- everybody

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


def _live(
    room: Room, member: Connection, frame: AnswerSubmitted, run: int, took: int, received: datetime
) -> LiveAnswer:
    return LiveAnswer(
        sitting=room.sitting,
        question=room.sitting.questions[frame.question_id],
        run=run,
        student_id=member.seat.user_id,
        choice=frame.answer,
        received_at=received,
        time_spent_ms=took,
        client_id=frame.key,
    )
