"""The course of one live quiz, pure: command + state → events (state: events + state → state).

lobby ─start→ started ─display→ question ⇄ paused; question|paused ─lock→ locked ─reveal→ revealed ─display→ …
question|paused|locked ─skip→ skipped; any ─restart→ question, run + 1, if it was not revealed; any ─end→ ended.
Showing the next question, or ending, locks an open one first. A question is asked once, and again by a restart only.
The state is a function of the log alone; no key is in any event before the reveal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from core.errors import Conflict, NotFound
from realtime.protocol import (
    DisplayQuestion,
    EndQuiz,
    ExtendQuestion,
    LockQuestion,
    LogFrame,
    Option,
    PauseQuestion,
    QuestionDisplayed,
    QuestionExtended,
    QuestionLocked,
    QuestionPaused,
    QuestionResumed,
    QuestionRevealed,
    QuestionSkipped,
    QuizCommand,
    QuizEnded,
    QuizStarted,
    RestartQuestion,
    ResumeQuestion,
    RevealQuestion,
    Rules,
    SkipQuestion,
    StartQuiz,
)
from realtime.state import ANSWERABLE, Phase, Round, State

LONGEST_MS = 24 * 3600 * 1000
"""No question is open for longer, however often it is extended."""


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
    """What does not change while a quiz is held; its questions are in the order of their positions."""

    session_id: int
    school_id: int
    classroom_id: int
    quiz_id: int
    quiz_version: int
    title: str
    opened_at: datetime
    questions: Mapping[int, Question]
    join_code: str = ""
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Tally:
    """Answers to one question: choice → number; `answered` counts all, `of` are enrolled."""

    counts: Mapping[str, int] = field(default_factory=dict)
    answered: int = 0
    of: int = 0


class _OfQuestion(Protocol):
    @property
    def question_id(self) -> int | None: ...


def decide(
    sitting: Sitting, state: State, command: QuizCommand, at: int, tally: Tally | None = None
) -> tuple[LogFrame, ...]:
    """The events that the command makes at `at` (ms); raises Conflict or NotFound. A reveal needs the tally."""
    if state.phase is Phase.ENDED:
        raise Conflict("The quiz has ended.", code="ended")
    if sitting.rules.mode == "self_paced" and not isinstance(command, StartQuiz | EndQuiz):
        raise Conflict("In this room each pupil moves on alone.", code="self_paced")
    match command:
        case StartQuiz():
            return _start(sitting, state, at)
        case DisplayQuestion():
            return _display(sitting, state, command, at)
        case RestartQuestion():
            return _restart(sitting, state, command, at)
        case LockQuestion():
            return _lock(state, command, at)
        case RevealQuestion():
            return _reveal(sitting, state, command, at, tally or Tally())
        case PauseQuestion():
            return _pause(state, at)
        case ResumeQuestion():
            return _resume(state, at)
        case ExtendQuestion():
            return _extend(state, command, at)
        case SkipQuestion():
            return _skip(state, at)
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
    if command.question_id in state.rounds:
        raise Conflict("This question has already been asked.", code="already_asked")
    locked = _lock_if_open(state, at)
    return (*locked, _shown(sitting, command.question_id, command.seconds, at, _next(state, locked)))


def _restart(sitting: Sitting, state: State, command: RestartQuestion, at: int) -> tuple[LogFrame, ...]:
    question_id = command.question_id or state.question_id
    before = None if question_id is None else state.rounds.get(question_id)
    if question_id is None or before is None:
        raise Conflict("This question has not been asked yet.", code="not_asked")
    if before.phase is Phase.REVEALED:
        raise Conflict("Everybody knows the answer already.", code="already_revealed")
    locked = _lock_if_open(state, at) if question_id != state.question_id else ()
    return (*locked, _shown(sitting, question_id, command.seconds, at, _next(state, locked), before.run + 1))


def _shown(
    sitting: Sitting, question_id: int, seconds: float | None, at: int, off: int, run: int = 1
) -> QuestionDisplayed:
    question = sitting.questions.get(question_id)
    if question is None:
        raise NotFound("This quiz has no such question.", code="no_such_question")
    limit = seconds or sitting.rules.seconds
    return QuestionDisplayed(
        off=off,
        at=at,
        question_id=question.id,
        position=question.position,
        question_type=question.kind,
        question_text=question.text,
        options=question.options,
        opens_at=at,
        closes_at=None if limit is None else at + round(limit * 1000),
        run=run,
    )


def _lock(state: State, command: LockQuestion, at: int) -> tuple[LogFrame, ...]:
    locked = _lock_if_open(state, at)
    if not locked or not _is_meant(state, command):
        raise Conflict("No question is open.", code="no_open_question")
    return locked


def _is_meant(state: State, command: _OfQuestion) -> bool:
    return command.question_id in (None, state.question_id)


def _lock_if_open(state: State, at: int) -> tuple[LogFrame, ...]:
    if state.phase not in ANSWERABLE or state.question_id is None:
        return ()
    return (QuestionLocked(off=_next(state), at=at, question_id=state.question_id),)


def _reveal(sitting: Sitting, state: State, command: RevealQuestion, at: int, tally: Tally) -> tuple[LogFrame, ...]:
    if state.phase is not Phase.LOCKED or state.question_id is None or not _is_meant(state, command):
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


def _open_round(state: State, *phases: Phase) -> tuple[int, Round]:
    if state.phase not in phases or state.question_id is None:
        raise Conflict("No question is open.", code="no_open_question")
    return state.question_id, state.rounds[state.question_id]


def _pause(state: State, at: int) -> tuple[LogFrame, ...]:
    if state.phase is Phase.PAUSED:
        raise Conflict("The clock stands already.", code="already_paused")
    question_id, asked = _open_round(state, Phase.QUESTION)
    left = None if asked.closes_at is None else asked.closes_at - at
    if left is not None and left <= 0:
        raise Conflict("The time is up.", code="time_is_up")
    return (QuestionPaused(off=_next(state), at=at, question_id=question_id, left_ms=left),)


def _resume(state: State, at: int) -> tuple[LogFrame, ...]:
    if state.phase is not Phase.PAUSED:
        raise Conflict("The clock does not stand.", code="not_paused")
    question_id, asked = _open_round(state, Phase.PAUSED)
    resumed = max(at, asked.paused_at or at)  # the clock of another node may be behind
    closes_at = None if asked.left_ms is None else resumed + asked.left_ms
    paused = asked.paused_ms + resumed - (asked.paused_at or resumed)
    return (QuestionResumed(off=_next(state), at=at, question_id=question_id, closes_at=closes_at, paused_ms=paused),)


def _extend(state: State, command: ExtendQuestion, at: int) -> tuple[LogFrame, ...]:
    question_id, asked = _open_round(state, Phase.QUESTION, Phase.PAUSED)
    if asked.limit_ms is None:
        raise Conflict("This question has no time limit.", code="no_limit")
    extra = round(command.seconds * 1000)
    if asked.limit_ms + extra > LONGEST_MS:
        raise Conflict("A question is open for a day at the most.", code="too_long")
    if asked.closes_at is not None and asked.closes_at <= at:
        raise Conflict("The time is up.", code="time_is_up")
    extended = QuestionExtended(
        off=_next(state),
        at=at,
        question_id=question_id,
        extra_ms=extra,
        closes_at=None if asked.closes_at is None else asked.closes_at + extra,
        left_ms=None if asked.left_ms is None else asked.left_ms + extra,
    )
    return (extended,)


def _skip(state: State, at: int) -> tuple[LogFrame, ...]:
    question_id, _ = _open_round(state, Phase.QUESTION, Phase.PAUSED, Phase.LOCKED)
    return (QuestionSkipped(off=_next(state), at=at, question_id=question_id),)


def _next(state: State, before: tuple[LogFrame, ...] = ()) -> int:
    return state.off + len(before) + 1
