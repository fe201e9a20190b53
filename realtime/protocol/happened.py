"""Log frames: what happened, durable, with offsets; no frame names a person."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from realtime.protocol.words import Option


class Event(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A row of live_log: `off` counts 1, 2, 3 … without a gap; `at` is server time in ms since 1970."""

    off: int
    at: int


class QuizStarted(Event, frozen=True, tag="quiz_started"):
    """The quiz has begun; `questions` tells how many it has."""

    quiz_id: int
    classroom_id: int
    title: str
    questions: int


class QuestionDisplayed(Event, frozen=True, tag="question_displayed"):
    """A question is open from `opens_at` to `closes_at` (server ms; null: until the teacher locks).

    `run` counts how often this question was asked: 2 after a restart, and answers to run 1 give no points."""

    question_id: int
    position: int
    question_type: str
    question_text: str
    options: tuple[Option, ...]
    opens_at: int
    closes_at: int | None
    run: int = 1


class QuestionLocked(Event, frozen=True, tag="question_locked"):
    """No more answers to this question."""

    question_id: int


class QuestionRevealed(Event, frozen=True, tag="question_revealed"):
    """The key, and how the answers were spread."""

    question_id: int
    answer_key: str | None
    histogram: dict[str, int]
    answered: int


class QuestionPaused(Event, frozen=True, tag="question_paused"):
    """The clock stands; `left_ms` are left (null: no limit)."""

    question_id: int
    left_ms: int | None


class QuestionResumed(Event, frozen=True, tag="question_resumed"):
    """The clock runs on, now to `closes_at`; it has stood for `paused_ms` in all."""

    question_id: int
    closes_at: int | None
    paused_ms: int


class QuestionExtended(Event, frozen=True, tag="question_extended"):
    """There is more time: until `closes_at`, or `left_ms` while the clock stands."""

    question_id: int
    extra_ms: int
    closes_at: int | None
    left_ms: int | None


class QuestionSkipped(Event, frozen=True, tag="question_skipped"):
    """The question is dropped; its answers give no points."""

    question_id: int


class QuizEnded(Event, frozen=True, tag="quiz_ended"):
    """The quiz is over."""

    quiz_id: int


LogFrame: TypeAlias = (
    QuizStarted
    | QuestionDisplayed
    | QuestionLocked
    | QuestionRevealed
    | QuestionPaused
    | QuestionResumed
    | QuestionExtended
    | QuestionSkipped
    | QuizEnded
)
