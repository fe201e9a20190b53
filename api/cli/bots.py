"""A live quiz that bots play: pupils who answer, and a leader who goes on where no teacher does. It ends by itself.

stage (a room and the tokens of those who play) → play: every bot is a client like any other, over the real socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from realtime.client import LiveClient, Refused, StayedAway

Frame: TypeAlias = dict[str, Any]
_PHASES = {
    "quiz_started": "started",
    "question_displayed": "question",
    "question_paused": "paused",
    "question_resumed": "question",
    "question_locked": "locked",
    "question_revealed": "revealed",
    "question_skipped": "skipped",
    "quiz_ended": "ended",
}
_CHANCE = random.Random()  # noqa: S311 - a game
_MOST = 40
"""A number that a bot guesses is not larger."""


@dataclass(frozen=True)
class Stage:
    """A room and who plays in it."""

    url: str
    session_id: int
    join_code: str
    teacher: str
    pupils: tuple[str, ...]


@dataclass(frozen=True)
class Pace:
    """How fast it goes: seconds for a question, the longest that a bot thinks, and how long the leader leaves a phase
    to a teacher before he goes on; after `longest` seconds it is over in any case."""

    question: float = 20
    thought: float = 15
    longest: float = 15 * 60
    patience: dict[str, float] = field(
        default_factory=lambda: {"lobby": 20, "started": 3, "locked": 4, "revealed": 8, "skipped": 3}
    )


async def play(stage: Stage, pace: Pace) -> None:
    """Until the quiz has ended, or the time is up; then the room is closed."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(LiveClient(stage.url, token, session_id=stage.session_id))
            for token in (stage.teacher, *stage.pupils)
        ]
        pupils = [asyncio.create_task(_take_part(client, pace)) for client in clients[1:]]
        try:
            async with asyncio.timeout(pace.longest):
                await _Leader(clients[0], pace).lead()
        except TimeoutError:
            await _say(clients[0], "quiz_ended")
        except StayedAway:
            return
        finally:
            for pupil in pupils:
                pupil.cancel()
            await asyncio.wait(pupils)


# ---------------------------------------------------------------- the leader


class _Leader:
    """Does the next step when a phase has lasted longer than its patience; whatever a teacher does begins a phase."""

    def __init__(self, quiz: LiveClient, pace: Pace) -> None:
        self._quiz = quiz
        self._patience = pace.patience
        self._phase = "lobby"
        self._since = asyncio.get_running_loop().time()
        self._unasked: list[int] = []

    async def lead(self) -> None:
        """Until the quiz has ended."""
        frames = self._quiz.frames()
        while self._phase != "ended":
            coming = asyncio.ensure_future(anext(frames))
            try:
                while not (await asyncio.wait({coming}, timeout=self._left()))[0]:
                    await self._step()
            finally:
                coming.cancel()
            self._hear(await coming)

    def _left(self) -> float | None:
        wait = self._patience.get(self._phase)
        return None if wait is None else max(0.0, self._since + wait - asyncio.get_running_loop().time())

    def _hear(self, frame: Frame) -> None:
        if frame["event"] == "joined":
            self._enter(frame["state"]["phase"])
            self._unasked = [each["question_id"] for each in frame["questions"]]
        elif frame["event"] in _PHASES:
            self._enter(_PHASES[frame["event"]])
            self._unasked = [each for each in self._unasked if each != frame.get("question_id")]

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._since = asyncio.get_running_loop().time()

    async def _step(self) -> None:
        self._since = asyncio.get_running_loop().time()
        if self._phase == "lobby":
            await _say(self._quiz, "quiz_started")
        elif self._phase == "locked":
            await _say(self._quiz, "question_revealed")
        elif self._unasked:
            question = self._unasked.pop(0)  # if it was asked before we came, it is refused and the next one follows
            await _say(self._quiz, "question_displayed", question_id=question)
        else:
            await _say(self._quiz, "quiz_ended")


async def _say(quiz: LiveClient, event: str, **fields: Any) -> None:
    """A command; a teacher may have been quicker, and it is refused then."""
    with contextlib.suppress(Refused):
        await quiz.ask(event, **fields)


# ---------------------------------------------------------------- the pupils


async def _take_part(quiz: LiveClient, pace: Pace) -> None:
    answering = set[asyncio.Task[None]]()
    with contextlib.suppress(StayedAway):
        async for frame in quiz.frames():
            for question in _open_questions(frame):
                task = asyncio.create_task(_answer(quiz, question, pace))
                answering.add(task)
                task.add_done_callback(answering.discard)


def _open_questions(frame: Frame) -> Iterator[Frame]:
    if frame["event"] == "question_displayed":
        yield frame
    elif frame["event"] == "turn" and frame["question"]:
        yield frame["question"]
    elif frame["event"] == "joined":
        state = frame["state"]
        question = state["turn"]["question"] if state["turn"] else state["question"]
        if question and (state["turn"] or state["phase"] == "question"):
            yield question


async def _answer(quiz: LiveClient, question: Frame, pace: Pace) -> None:
    await asyncio.sleep(_CHANCE.uniform(0.1, 1) * pace.thought)
    with contextlib.suppress(Refused, StayedAway):
        await quiz.answer(question["question_id"], _guess(question))


def _guess(question: Frame) -> Any:
    """Any answer that the question's type allows; one option is liked more than the others."""
    keys = [option["key"] for option in question["options"]]
    if question["question_type"] == "true_false" and not keys:
        keys = ["true", "false"]
    if not keys:
        return str(_CHANCE.randint(1, _MOST))
    liked = keys[question["question_id"] % len(keys)]
    choice = liked if _CHANCE.random() < 0.5 else _CHANCE.choice(keys)
    return [choice] if question["question_type"] == "multiple_select" else choice
