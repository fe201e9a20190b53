"""Where a live quiz stands: the fold of its log, and what follows from it. Pure.

Each question that was asked has a round: its run (1, or more after restarts), its clock, and how far it got.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, structs

from realtime.protocol import (
    LogFrame,
    Picture,
    QuestionDisplayed,
    QuestionExtended,
    QuestionLocked,
    QuestionPaused,
    QuestionResumed,
    QuestionRevealed,
    QuestionSkipped,
    QuizEnded,
    QuizStarted,
)

GRACE_MS = 250
"""How long after `closes_at` an answer still counts: what a network may take."""


class Phase(StrEnum):
    """Where the quiz stands."""

    LOBBY = "lobby"
    STARTED = "started"
    QUESTION = "question"
    PAUSED = "paused"
    LOCKED = "locked"
    REVEALED = "revealed"
    SKIPPED = "skipped"
    ENDED = "ended"


ANSWERABLE = frozenset({Phase.QUESTION, Phase.PAUSED})
"""A question is open, its clock running or not."""


class Verdict(StrEnum):
    """What becomes of an answer, as far as time decides."""

    OPEN = "open"
    PAUSED = "paused"
    LATE = "late"
    LOCKED = "locked"
    NOT_OPEN = "not_open"


class Round(Struct, frozen=True, kw_only=True):
    """One question as it was asked last: times in server ms; `limit_ms` is its whole time, extensions included."""

    run: int
    opens_at: int
    closes_at: int | None = None
    limit_ms: int | None = None
    left_ms: int | None = None
    paused_at: int | None = None
    paused_ms: int = 0
    phase: Phase = Phase.QUESTION

    @property
    def counts(self) -> bool:
        """Whether its answers give points."""
        return self.phase in (Phase.LOCKED, Phase.REVEALED)


class State(Struct, frozen=True, kw_only=True):
    """The fold of the log; `off` is the offset of its last event."""

    phase: Phase = Phase.LOBBY
    question_id: int | None = None
    rounds: dict[int, Round] = {}
    off: int = 0

    @property
    def round(self) -> Round | None:
        """The round of the newest question."""
        return None if self.question_id is None else self.rounds[self.question_id]

    @property
    def asked(self) -> tuple[int, ...]:
        """The questions that were shown, in the order of their first display."""
        return tuple(self.rounds)

    @property
    def closes_at(self) -> int | None:
        """When the open question locks by itself; None: it does not, or its clock stands."""
        return self.round.closes_at if self.round is not None and self.phase is Phase.QUESTION else None


def evolve(state: State, event: LogFrame) -> State:
    """The state after the event; raises ValueError at a gap, for then the log was misread."""
    if event.off != state.off + 1:
        raise ValueError(f"offset {event.off} does not follow {state.off}")
    match event:
        case QuizStarted():
            return structs.replace(state, phase=Phase.STARTED, off=event.off)
        case QuestionDisplayed():
            rounds = {**state.rounds, event.question_id: _displayed(event)}
            return State(phase=Phase.QUESTION, question_id=event.question_id, rounds=rounds, off=event.off)
        case QuestionLocked():
            return _turned(state, event.off, Phase.LOCKED)
        case QuestionRevealed():
            return _turned(state, event.off, Phase.REVEALED)
        case QuestionSkipped():
            return _turned(state, event.off, Phase.SKIPPED)
        case QuestionPaused():
            return _turned(state, event.off, Phase.PAUSED, closes_at=None, left_ms=event.left_ms, paused_at=event.at)
        case QuestionResumed():
            clock = {"closes_at": event.closes_at, "left_ms": None, "paused_at": None, "paused_ms": event.paused_ms}
            return _turned(state, event.off, Phase.QUESTION, **clock)
        case QuestionExtended():
            limit = (_newest(state).limit_ms or 0) + event.extra_ms
            clock = {"closes_at": event.closes_at, "left_ms": event.left_ms, "limit_ms": limit}
            return _turned(state, event.off, state.phase, **clock)
        case QuizEnded():
            return structs.replace(state, phase=Phase.ENDED, off=event.off)


def _displayed(event: QuestionDisplayed) -> Round:
    limit = None if event.closes_at is None else event.closes_at - event.opens_at
    return Round(run=event.run, opens_at=event.opens_at, closes_at=event.closes_at, limit_ms=limit)


def _turned(state: State, off: int, phase: Phase, **clock: int | None) -> State:
    turned = structs.replace(_newest(state), phase=phase, **clock)
    rounds = {**state.rounds, _question(state): turned}
    return structs.replace(state, phase=phase, rounds=rounds, off=off)


def _newest(state: State) -> Round:
    return state.rounds[_question(state)]


def _question(state: State) -> int:
    if state.question_id is None:
        raise ValueError("no question was shown yet")
    return state.question_id


def fold(events: Iterable[LogFrame], state: State | None = None) -> State:
    """The state after all the events."""
    state = state or State()
    for event in events:
        state = evolve(state, event)
    return state


def judge(state: State, question_id: int, received: int) -> Verdict:
    """Whether an answer received at `received` (ms) comes in time; node clocks may differ, so `opens_at` is no bar."""
    if question_id not in state.rounds:
        return Verdict.NOT_OPEN
    if question_id != state.question_id or state.phase not in ANSWERABLE:
        return Verdict.LOCKED
    if state.phase is Phase.PAUSED:
        return Verdict.PAUSED
    if state.closes_at is not None and received > state.closes_at + GRACE_MS:
        return Verdict.LATE
    return Verdict.OPEN


def elapsed(round_: Round, received: int, credit_ms: float = 0) -> int:
    """How long a pupil took, in ms of the running clock; `credit_ms` is what his network took of it."""
    return max(0, round(received - round_.opens_at - round_.paused_ms - credit_ms))


def picture(events: Iterable[LogFrame], answered: Iterable[int] = ()) -> Picture:
    """The room for a late joiner who has answered those questions: the frames that still matter."""
    state, started, question, revealed = State(), None, None, None
    for event in events:
        state = evolve(state, event)
        match event:
            case QuizStarted():
                started = event
            case QuestionDisplayed():
                question, revealed = event, None
            case QuestionRevealed():
                revealed = event
    newest = state.round
    if question is not None and newest is not None:
        question = structs.replace(question, closes_at=newest.closes_at)
    return Picture(
        phase=state.phase,
        started=started,
        question=question,
        left_ms=newest.left_ms if newest is not None else None,
        revealed=revealed,
        answered=tuple(sorted(answered)),
    )
