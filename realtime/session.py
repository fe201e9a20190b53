"""The course of one live quiz, pure: command + state → events; event + state → state.

lobby ─start→ started ─display→ question ─lock→ locked ─reveal→ revealed ─display→ question … ; any ─end→ ended.
Showing the next question, or ending, locks an open one first. A question is asked once in a session.
The state is a function of the log alone; no key is in any event before the reveal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, structs

from core.errors import Conflict, NotFound
from realtime.protocol import (
    Command,
    DisplayQuestion,
    EndQuiz,
    LockQuestion,
    LogFrame,
    Option,
    Picture,
    QuestionDisplayed,
    QuestionLocked,
    QuestionRevealed,
    QuizEnded,
    QuizStarted,
    RevealQuestion,
    StartQuiz,
)

GRACE_MS = 250
"""How long after `closes_at` an answer still counts: what a network may take."""


class Phase(StrEnum):
    """Where the quiz stands."""

    LOBBY = "lobby"
    STARTED = "started"
    QUESTION = "question"
    LOCKED = "locked"
    REVEALED = "revealed"
    ENDED = "ended"


class Verdict(StrEnum):
    """What becomes of an answer, as far as time decides."""

    OPEN = "open"
    LATE = "late"
    LOCKED = "locked"
    NOT_OPEN = "not_open"


@dataclass(frozen=True)
class Question:
    """A question of the quiz, with its key."""

    id: int
    position: int
    text: str
    kind: str
    options: tuple[Option, ...]
    answer_key: str | None


@dataclass(frozen=True)
class Sitting:
    """What does not change while a quiz is held."""

    session_id: int
    school_id: int
    classroom_id: int
    quiz_id: int
    quiz_version: int
    title: str
    opened_at: datetime
    questions: Mapping[int, Question]


@dataclass(frozen=True)
class Tally:
    """Answers to one question: choice → number; `answered` counts all, `of` are enrolled."""

    counts: Mapping[str, int] = field(default_factory=dict)
    answered: int = 0
    of: int = 0


class State(Struct, frozen=True, kw_only=True):
    """The fold of the log; `off` is the offset of its last event."""

    phase: Phase = Phase.LOBBY
    question_id: int | None = None
    opens_at: int | None = None
    closes_at: int | None = None
    asked: tuple[int, ...] = ()
    off: int = 0


def decide(
    sitting: Sitting, state: State, command: Command, at: int, tally: Tally | None = None
) -> tuple[LogFrame, ...]:
    """The events that the command makes at `at` (ms); raises Conflict or NotFound. A reveal needs the tally."""
    if state.phase is Phase.ENDED:
        raise Conflict("The quiz has ended.", code="ended")
    match command:
        case StartQuiz():
            return _start(sitting, state, at)
        case DisplayQuestion():
            return _display(sitting, state, command, at)
        case LockQuestion():
            return _lock(state, command, at)
        case RevealQuestion():
            return _reveal(sitting, state, command, at, tally or Tally())
        case EndQuiz():
            locked = _lock_if_open(state, at)
            return (*locked, QuizEnded(off=_next(state, locked), at=at, quiz_id=sitting.quiz_id))


def _start(sitting: Sitting, state: State, at: int) -> tuple[LogFrame, ...]:
    if state.phase is not Phase.LOBBY:
        raise Conflict("The quiz has already begun.", code="already_started")
    started = QuizStarted(
        off=_next(state),
        at=at,
        quiz_id=sitting.quiz_id,
        classroom_id=sitting.classroom_id,
        title=sitting.title,
        questions=len(sitting.questions),
    )
    return (started,)


def _display(sitting: Sitting, state: State, command: DisplayQuestion, at: int) -> tuple[LogFrame, ...]:
    if state.phase is Phase.LOBBY:
        raise Conflict("Start the quiz first.", code="not_started")
    question = sitting.questions.get(command.question_id)
    if question is None:
        raise NotFound("This quiz has no such question.", code="no_such_question")
    if question.id in state.asked:
        raise Conflict("This question has already been asked.", code="already_asked")
    locked = _lock_if_open(state, at)
    shown = QuestionDisplayed(
        off=_next(state, locked),
        at=at,
        question_id=question.id,
        position=question.position,
        question_type=question.kind,
        question_text=question.text,
        options=question.options,
        opens_at=at,
        closes_at=None if command.seconds is None else at + round(command.seconds * 1000),
    )
    return (*locked, shown)


def _lock(state: State, command: LockQuestion, at: int) -> tuple[LogFrame, ...]:
    locked = _lock_if_open(state, at)
    if not locked or command.question_id not in (None, state.question_id):
        raise Conflict("No question is open.", code="no_open_question")
    return locked


def _lock_if_open(state: State, at: int) -> tuple[LogFrame, ...]:
    if state.phase is not Phase.QUESTION or state.question_id is None:
        return ()
    return (QuestionLocked(off=_next(state), at=at, question_id=state.question_id),)


def _reveal(sitting: Sitting, state: State, command: RevealQuestion, at: int, tally: Tally) -> tuple[LogFrame, ...]:
    wanted = command.question_id in (None, state.question_id)
    if state.phase is not Phase.LOCKED or state.question_id is None or not wanted:
        raise Conflict("Only a locked question can be revealed.", code="not_locked")
    revealed = QuestionRevealed(
        off=_next(state),
        at=at,
        question_id=state.question_id,
        answer_key=sitting.questions[state.question_id].answer_key,
        histogram=dict(tally.counts),
        answered=tally.answered,
    )
    return (revealed,)


def _next(state: State, before: tuple[LogFrame, ...] = ()) -> int:
    return state.off + len(before) + 1


def evolve(state: State, event: LogFrame) -> State:
    """The state after the event; raises ValueError at a gap, for then the log was misread."""
    if event.off != state.off + 1:
        raise ValueError(f"offset {event.off} does not follow {state.off}")
    match event:
        case QuizStarted():
            return structs.replace(state, phase=Phase.STARTED, off=event.off)
        case QuestionDisplayed():
            return State(
                phase=Phase.QUESTION,
                question_id=event.question_id,
                opens_at=event.opens_at,
                closes_at=event.closes_at,
                asked=(*state.asked, event.question_id),
                off=event.off,
            )
        case QuestionLocked():
            return structs.replace(state, phase=Phase.LOCKED, off=event.off)
        case QuestionRevealed():
            return structs.replace(state, phase=Phase.REVEALED, off=event.off)
        case QuizEnded():
            return structs.replace(state, phase=Phase.ENDED, off=event.off)


def fold(events: Iterable[LogFrame], state: State | None = None) -> State:
    """The state after all the events."""
    state = state or State()
    for event in events:
        state = evolve(state, event)
    return state


def judge(state: State, question_id: int, received: int) -> Verdict:
    """Whether an answer received at `received` (ms) comes in time; node clocks may differ, so `opens_at` is no bar."""
    if question_id not in state.asked:
        return Verdict.NOT_OPEN
    if question_id != state.question_id or state.phase is not Phase.QUESTION:
        return Verdict.LOCKED
    if state.closes_at is not None and received > state.closes_at + GRACE_MS:
        return Verdict.LATE
    return Verdict.OPEN


def picture(events: Iterable[LogFrame], answered: Iterable[int] = ()) -> Picture:
    """The room for a late joiner who has answered those questions: the frames that still matter."""
    started, question, revealed, phase = None, None, None, Phase.LOBBY
    for event in events:
        match event:
            case QuizStarted():
                started, phase = event, Phase.STARTED
            case QuestionDisplayed():
                question, revealed, phase = event, None, Phase.QUESTION
            case QuestionLocked():
                phase = Phase.LOCKED
            case QuestionRevealed():
                revealed, phase = event, Phase.REVEALED
            case QuizEnded():
                phase = Phase.ENDED
    return Picture(phase=phase, started=started, question=question, revealed=revealed, answered=tuple(sorted(answered)))
