"""Frames without an offset: replies to one socket, and state frames (how things stand, at most four a second)."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from msgspec import Struct

from realtime.protocol.happened import LogFrame, QuestionDisplayed, QuestionRevealed, QuizStarted
from realtime.protocol.words import Correlation, Option, Rules


class ServerFrame(Struct, frozen=True, kw_only=True, tag_field="event"):
    """A frame without an offset."""


# ---------------------------------------------------------------- state frames: only the newest counts


class State(ServerFrame, frozen=True):
    """A state frame replaces the one of its kind that still waits to be sent."""

    kind: ClassVar[str]


class Histogram(State, frozen=True, tag="histogram"):
    """For the teacher: answers to the open question so far; `of` pupils are enrolled."""

    kind: ClassVar[str] = "histogram"
    question_id: int
    counts: dict[str, int]
    answered: int
    of: int


class History(Struct, frozen=True):
    """How the question was answered before, in other sittings of the school: `accuracy` from 0 to 1."""

    answers: int
    accuracy: float | None


class Insight(State, frozen=True, tag="insight"):
    """For the teacher alone (it tells what is wrong): who here has not answered, at most 50 of `waiting_count`; the
    most chosen wrong answer; the question's history (null: not known)."""

    kind: ClassVar[str] = "insight"
    question_id: int
    waiting: tuple[int, ...]
    waiting_count: int
    top_wrong: str | None
    top_wrong_count: int
    history: History | None = None


class Present(Struct, frozen=True):
    """A pupil in the room; `nickname` and `team` where the room has them."""

    user_id: int
    name: str
    nickname: str | None = None
    team: str | None = None


class PresenceState(State, frozen=True, tag="presence"):
    """For the teacher: the pupils who are here, on whichever node, and the ids of those who were sent out."""

    kind: ClassVar[str] = "presence"
    students: tuple[Present, ...]
    kicked: tuple[int, ...] = ()


class StudentJoined(ServerFrame, frozen=True, tag="student_joined"):
    """For the teacher: who has come since the last word about it, at most four times a second; `presence` lists all."""

    students: tuple[Present, ...]


class StudentLeft(ServerFrame, frozen=True, tag="student_left"):
    """For the teacher: who has gone, or has been cut off for some seconds."""

    students: tuple[Present, ...]


class StudentKicked(ServerFrame, frozen=True, tag="student_kicked"):
    """For the teachers: who was sent out, by whichever of them."""

    user_ids: tuple[int, ...]


class StudentAllowed(ServerFrame, frozen=True, tag="student_allowed"):
    """For the teachers: who may come back."""

    user_ids: tuple[int, ...]


class Host(State, frozen=True, tag="host"):
    """For everybody: whether a teacher is here. The room goes on without one; any teacher of the class may go on."""

    kind: ClassVar[str] = "host"
    present: bool


class Place(Struct, frozen=True):
    """A line of the leaderboard; equal points share a rank."""

    rank: int
    name: str
    points: int


class TeamPlace(Struct, frozen=True):
    """A team's line: the mean `points` of its `players`, those members who have answered anything."""

    rank: int
    name: str
    points: int
    players: int


class Leaderboard(State, frozen=True, tag="leaderboard"):
    """For everybody, after each reveal and at the end: the best ten of `of`, and all teams where the room has them."""

    kind: ClassVar[str] = "leaderboard"
    places: tuple[Place, ...]
    of: int
    teams: tuple[TeamPlace, ...] = ()


class Result(State, frozen=True, tag="result"):
    """For one pupil, after each reveal (`question_id`) and at the end (null): his own answer, points and rank."""

    kind: ClassVar[str] = "result"
    question_id: int | None
    correct: bool | None
    points: int
    total: int
    rank: int | None


class Progress(State, frozen=True, tag="progress"):
    """For the teacher of a self-paced room: user id → how many questions are behind him, of so many."""

    kind: ClassVar[str] = "progress"
    done: dict[int, int]
    of: int


class Item(Struct, frozen=True, kw_only=True):
    """A question as everybody may see it, without its key."""

    question_id: int
    position: int
    question_type: str
    question_text: str
    options: tuple[Option, ...]


class Turn(State, frozen=True, tag="turn"):
    """For one pupil of a self-paced room: the question that is his now, or null when he is through all of them."""

    kind: ClassVar[str] = "turn"
    question: Item | None
    opens_at: int | None
    closes_at: int | None
    done: int
    of: int


# ---------------------------------------------------------------- replies


class Picture(Struct, frozen=True, kw_only=True):
    """The whole room for a late joiner, in the frames that made it.

    `question.closes_at` is the newest one; while the clock stands it is null and `left_ms` tells what is left.
    `chosen`: the pupil's own answer to it, the last one where it may be changed."""

    phase: str
    started: QuizStarted | None = None
    question: QuestionDisplayed | None = None
    left_ms: int | None = None
    revealed: QuestionRevealed | None = None
    answered: tuple[int, ...] = ()
    chosen: str | None = None
    turn: Turn | None = None
    result: Result | None = None
    leaderboard: Leaderboard | None = None
    host: bool = False


class Joined(ServerFrame, frozen=True, tag="joined"):
    """You are in: the room as it stands, and after a resume (`recovered`) every log frame that you missed.

    `title` is the quiz's; `team` the pupil's, where the room has teams; `questions` is for teachers, who choose among
    them."""

    session_id: int
    join_code: str
    title: str
    role: str
    user_id: int
    name: str
    team: str | None
    off: int
    recovered: bool
    log: tuple[LogFrame, ...]
    state: Picture
    rules: Rules
    questions: tuple[Item, ...]
    server_ms: int
    ping_s: float
    max_frame: int


class AnswerAck(ServerFrame, frozen=True, tag="answer_ack"):
    """After the commit: accepted | changed | duplicate, or not kept: late | locked | paused. Never whether it was
    right."""

    id: Correlation
    question_id: int
    status: str
    received_ms: int


class CommandAck(ServerFrame, frozen=True, tag="command_ack"):
    """The command with this `id` was obeyed, and the log reaches to `off`; only for commands that had an id."""

    id: Correlation
    off: int


class Refreshed(ServerFrame, frozen=True, tag="refreshed"):
    """The new token is taken."""

    id: Correlation


class Synced(ServerFrame, frozen=True, tag="sync"):
    """The server's clock in ms since 1970."""

    id: Correlation
    server_ms: int


class Ping(ServerFrame, frozen=True, tag="ping"):
    """Say `pong` with this nonce, at once."""

    nonce: int


class Left(ServerFrame, frozen=True, tag="left"):
    """Good-bye; the socket closes with 1000."""

    id: Correlation


class Error(ServerFrame, frozen=True, tag="error"):
    """A frame was not obeyed; `temporary`: the same frame may succeed later, after `retry_ms` if that is told."""

    code: str
    message: str
    temporary: bool
    id: Correlation = None
    retry_ms: int | None = None


Stated: TypeAlias = Histogram | Insight | PresenceState | Host | Leaderboard | Result | Progress | Turn
News: TypeAlias = StudentJoined | StudentLeft | StudentKicked | StudentAllowed
ServerMessage: TypeAlias = (
    Joined | AnswerAck | CommandAck | Refreshed | Synced | Ping | Left | Error | News | Stated | LogFrame
)
