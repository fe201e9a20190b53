"""What a client says: first who it is, then answers or commands."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from realtime.protocol.words import Answer, Correlation, Id, Seconds, ShortText


class Join(Struct, frozen=True, kw_only=True):
    """The first frame: who (token) and which room; `session_id` with `off` resumes after that offset.

    `event` may be left out, as in the design's first message. Without `session_id` and `join_code` it is the
    classroom's newest room. `nickname` counts where the room has nicknames, and is cleaned."""

    token: str
    session_id: Id | None = None
    classroom_id: Id | None = None
    join_code: ShortText | None = None
    off: Annotated[int, Meta(ge=0)] | None = None
    nickname: ShortText | None = None


class ClientFrame(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A frame after the first; `id` comes back in the answer to it."""

    id: Correlation = None


class AnswerSubmitted(ClientFrame, frozen=True, tag="answer_submitted"):
    """A pupil's choice; the server decides who, when and whether it is right. Sent again, it counts once."""

    question_id: Id
    answer: Answer
    key: ShortText | None = None


class StartQuiz(ClientFrame, frozen=True, tag="quiz_started"):
    """Teacher: begin."""


class DisplayQuestion(ClientFrame, frozen=True, tag="question_displayed"):
    """Teacher: show a question; after `seconds` (or the room's own) it locks by itself. An open one is locked first."""

    question_id: Id
    seconds: Seconds | None = None


class LockQuestion(ClientFrame, frozen=True, tag="question_locked"):
    """Teacher: take no more answers to the open question; refused if `question_id` names another."""

    question_id: Id | None = None


class RevealQuestion(ClientFrame, frozen=True, tag="question_revealed"):
    """Teacher: show the key and the histogram of the locked question; refused if `question_id` names another."""

    question_id: Id | None = None


class PauseQuestion(ClientFrame, frozen=True, tag="question_paused"):
    """Teacher: stop the clock of the open question; no answers meanwhile."""


class ResumeQuestion(ClientFrame, frozen=True, tag="question_resumed"):
    """Teacher: let the clock run on with the time that was left."""


class ExtendQuestion(ClientFrame, frozen=True, tag="question_extended"):
    """Teacher: so many seconds more for the question, which has a time limit."""

    seconds: Seconds


class SkipQuestion(ClientFrame, frozen=True, tag="question_skipped"):
    """Teacher: drop the question; its answers give no points."""


class RestartQuestion(ClientFrame, frozen=True, tag="question_restarted"):
    """Teacher: ask a question anew that was not revealed; its former answers give no points."""

    question_id: Id | None = None
    seconds: Seconds | None = None


class EndQuiz(ClientFrame, frozen=True, tag="quiz_ended"):
    """Teacher: end; an open question is locked first."""


class KickStudent(ClientFrame, frozen=True, tag="student_kicked"):
    """Teacher: send a pupil out; he may not come back until he is allowed."""

    user_id: Id


class AllowStudent(ClientFrame, frozen=True, tag="student_allowed"):
    """Teacher: a pupil who was sent out may come back."""

    user_id: Id


class Refresh(ClientFrame, frozen=True, tag="refresh"):
    """A fresh token of the same person, before the old one runs out."""

    token: str


class Sync(ClientFrame, frozen=True, tag="sync"):
    """Asks for the server's clock, to show the time that is left."""


class Pong(ClientFrame, frozen=True, tag="pong"):
    """The answer to `ping`, at once and with its nonce: the server measures the way there and back."""

    nonce: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Leave(ClientFrame, frozen=True, tag="leave"):
    """I go now, on purpose."""


QuizCommand: TypeAlias = (
    StartQuiz
    | DisplayQuestion
    | LockQuestion
    | RevealQuestion
    | PauseQuestion
    | ResumeQuestion
    | ExtendQuestion
    | SkipQuestion
    | RestartQuestion
    | EndQuiz
)
"""Commands that become log frames."""
Command: TypeAlias = QuizCommand | KickStudent | AllowStudent
ClientMessage: TypeAlias = Command | AnswerSubmitted | Refresh | Sync | Pong | Leave
