"""The words of /ws/quiz: client frames, log frames, state frames and close codes, all JSON objects with an `event`.

Unknown fields of a client frame (`correct`, `user_id`, `metadata` …) are ignored: no decision rests on them.
The empty object `{}` is the heartbeat in both directions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from core.errors import InvalidField

T = TypeVar("T")
HEARTBEAT = "{}"
Id: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_NO_NUL = "^[^\\x00]*$"  # Postgres keeps no NUL in a text
ShortText: TypeAlias = Annotated[str, Meta(max_length=200, pattern=_NO_NUL)]
Choice: TypeAlias = Annotated[str, Meta(max_length=4000, pattern=_NO_NUL)]
Answer: TypeAlias = Choice | int | float | bool | Annotated[list[Choice], Meta(max_length=100)]
Correlation: TypeAlias = int | ShortText | None


class Close(IntEnum):
    """Why the server hangs up; a client comes back after 4000–4499 and stays away after 4500–4999."""

    INTERNAL = 1011
    EXPIRED = 4001
    SLOW = 4008
    RESTART = 4011
    SILENT = 4012
    TOO_FAST = 4013
    UNAVAILABLE = 4014
    NO_SESSION = 4404
    BAD_TOKEN = 4500
    FORBIDDEN = 4503
    BAD_REQUEST = 4507


# ---------------------------------------------------------------- client → server


class Join(Struct, frozen=True, kw_only=True):
    """The first frame: who (token) and which room; `session_id` with `off` resumes after that offset."""

    token: str
    session_id: Id | None = None
    classroom_id: Id | None = None
    join_code: ShortText | None = None
    off: Annotated[int, Meta(ge=0)] | None = None


class ClientFrame(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A frame after the first; `id` comes back in the answer to it."""

    id: Correlation = None


class AnswerSubmitted(ClientFrame, frozen=True, tag="answer_submitted"):
    """A pupil's choice; the server decides who, when and whether it is right."""

    question_id: Id
    answer: Answer
    key: ShortText | None = None


class StartQuiz(ClientFrame, frozen=True, tag="quiz_started"):
    """Teacher: begin."""


class DisplayQuestion(ClientFrame, frozen=True, tag="question_displayed"):
    """Teacher: show a question; with `seconds` it locks by itself."""

    question_id: Id
    seconds: Annotated[float, Meta(gt=0, le=24 * 3600)] | None = None


class LockQuestion(ClientFrame, frozen=True, tag="question_locked"):
    """Teacher: take no more answers to the open question; refused if `question_id` names another."""

    question_id: Id | None = None


class RevealQuestion(ClientFrame, frozen=True, tag="question_revealed"):
    """Teacher: show the key and the histogram of the locked question; refused if `question_id` names another."""

    question_id: Id | None = None


class EndQuiz(ClientFrame, frozen=True, tag="quiz_ended"):
    """Teacher: end; an open question is locked first."""


class Refresh(ClientFrame, frozen=True, tag="refresh"):
    """A fresh token of the same person, before the old one runs out."""

    token: str


class Sync(ClientFrame, frozen=True, tag="sync"):
    """Asks for the server's clock, to show the time that is left."""


Command: TypeAlias = StartQuiz | DisplayQuestion | LockQuestion | RevealQuestion | EndQuiz
ClientMessage: TypeAlias = Command | AnswerSubmitted | Refresh | Sync

# ---------------------------------------------------------------- log frames: what happened


class Event(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A row of live_log: `off` counts 1, 2, 3 … without a gap; `at` is server time in ms since 1970."""

    off: int
    at: int


class Option(Struct, frozen=True):
    """An option as everybody sees it; whatever else is stored with it stays inside."""

    key: str
    text: str = ""


class QuizStarted(Event, frozen=True, tag="quiz_started"):
    """The quiz has begun; `questions` tells how many it has."""

    quiz_id: int
    classroom_id: int
    title: str
    questions: int


class QuestionDisplayed(Event, frozen=True, tag="question_displayed"):
    """A question is open from `opens_at` to `closes_at` (server ms; null: until the teacher locks)."""

    question_id: int
    position: int
    question_type: str
    question_text: str
    options: tuple[Option, ...]
    opens_at: int
    closes_at: int | None


class QuestionLocked(Event, frozen=True, tag="question_locked"):
    """No more answers to this question."""

    question_id: int


class QuestionRevealed(Event, frozen=True, tag="question_revealed"):
    """The right answer, and how many chose what."""

    question_id: int
    answer_key: str | None
    histogram: dict[str, int]
    answered: int


class QuizEnded(Event, frozen=True, tag="quiz_ended"):
    """The quiz is over; nothing follows."""

    quiz_id: int


LogFrame: TypeAlias = QuizStarted | QuestionDisplayed | QuestionLocked | QuestionRevealed | QuizEnded

# ---------------------------------------------------------------- frames to one socket, and state frames


class ServerFrame(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A frame without an offset."""


class Picture(Struct, frozen=True, kw_only=True):
    """The whole room for a late joiner, in the frames that made it."""

    phase: str
    started: QuizStarted | None = None
    question: QuestionDisplayed | None = None
    revealed: QuestionRevealed | None = None
    answered: tuple[int, ...] = ()


class Joined(ServerFrame, frozen=True, tag="joined"):
    """You are in: the room as it stands, and after a resume (`recovered`) every log frame that you missed."""

    session_id: int
    role: str
    user_id: int
    off: int
    recovered: bool
    log: tuple[LogFrame, ...]
    state: Picture
    server_ms: int
    ping_s: float
    max_frame: int


class AnswerAck(ServerFrame, frozen=True, tag="answer_ack"):
    """After the commit: accepted | duplicate | late | locked. Never whether it was right."""

    id: Correlation
    question_id: int
    status: str
    received_ms: int


class Histogram(ServerFrame, frozen=True, tag="histogram"):
    """State, for the teacher: answers to the open question so far; `of` pupils are enrolled."""

    kind: ClassVar[str] = "histogram"
    question_id: int
    counts: dict[str, int]
    answered: int
    of: int


class Present(Struct, frozen=True):
    """A person in the room."""

    user_id: int
    name: str


class PresenceState(ServerFrame, frozen=True, tag="presence"):
    """State, for the teacher: the pupils who are here, on whichever node."""

    kind: ClassVar[str] = "presence"
    students: tuple[Present, ...]


class Refreshed(ServerFrame, frozen=True, tag="refreshed"):
    """The new token is taken."""

    id: Correlation


class Synced(ServerFrame, frozen=True, tag="sync"):
    """The server's clock in ms since 1970."""

    id: Correlation
    server_ms: int


class Error(ServerFrame, frozen=True, tag="error"):
    """A frame was not obeyed; `temporary` tells whether the same frame may succeed later."""

    code: str
    message: str
    temporary: bool
    id: Correlation = None


_join = msgspec.json.Decoder(Join)
_client: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_log: msgspec.json.Decoder[LogFrame] = msgspec.json.Decoder(LogFrame)
_encoder = msgspec.json.Encoder()


def encode(frame: Struct) -> str:
    """The text of a frame, made once and sent to many."""
    return _encoder.encode(frame).decode()


def decode_join(text: str) -> Join:
    """The first frame (`event` may be absent, as in the design's first message); raises InvalidField."""
    return _decode(_join, text)


def decode_client(text: str) -> ClientMessage:
    """A later frame; raises InvalidField."""
    return _decode(_client, text)


def decode_log(text: str) -> LogFrame:
    """A stored log frame."""
    return _log.decode(text)


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidField(f"Not a frame of this protocol: {error}", code="bad_frame") from error
