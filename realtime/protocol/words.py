"""Types that frames are made of, the rules of a room, and the close codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

SUBPROTOCOL = "edu.live.v1"
SUBPROTOCOLS = (SUBPROTOCOL,)
"""What this server speaks. Whoever asks for none gets the first; whoever asks for others only is refused."""
HEARTBEAT = "{}"
"""From a client: I am here. A `pong`, or any other frame, says the same."""
Id: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_NO_NUL = "^[^\\x00]*$"  # Postgres keeps no NUL in a text
ShortText: TypeAlias = Annotated[str, Meta(max_length=200, pattern=_NO_NUL)]
Choice: TypeAlias = Annotated[str, Meta(max_length=4000, pattern=_NO_NUL)]
Answer: TypeAlias = Choice | int | float | bool | Annotated[list[Choice], Meta(max_length=100)]
Correlation: TypeAlias = int | ShortText | None
TeamName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=40, pattern=_NO_NUL)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=24 * 3600)]


class Close(IntEnum):
    """Why the server hangs up; a client comes back after 4000-4499 (and 1001, 1006, 1011), else it stays away."""

    BYE = 1000
    INTERNAL = 1011
    EXPIRED = 4001
    SLOW = 4008
    RESTART = 4011
    SILENT = 4012
    TOO_FAST = 4013
    UNAVAILABLE = 4014
    GUESSING = 4015
    NO_SESSION = 4404
    BAD_TOKEN = 4500
    REVOKED = 4501
    FORBIDDEN = 4503
    KICKED = 4504
    REPLACED = 4505
    BAD_REQUEST = 4507


MEANINGS = {
    Close.BYE: "You said `leave`.",
    Close.INTERNAL: "Our fault; come back and resume.",
    Close.EXPIRED: "The token ran out; come back with a fresh one (or send `refresh` in time).",
    Close.SLOW: "You read too slowly and log frames were piling up; come back and resume by `off`.",
    Close.RESTART: "This server stops; come back after the `retry_ms` that the close reason names.",
    Close.SILENT: "No first frame in time, or no sign of life for a heartbeat.",
    Close.TOO_FAST: "A frame was too large, or there were too many of them.",
    Close.UNAVAILABLE: "A store is away; come back in a moment.",
    Close.GUESSING: "Too many wrong join codes; the error frame before it says how long to wait (`retry_ms`).",
    Close.NO_SESSION: "This classroom has no live quiz now.",
    Close.BAD_TOKEN: "This is no valid token.",
    Close.REVOKED: "The log-in has ended, or the person has left the classroom.",
    Close.FORBIDDEN: "No room here that you may enter.",
    Close.KICKED: "The teacher has sent you out.",
    Close.REPLACED: "The same person has opened too many newer sockets.",
    Close.BAD_REQUEST: "The first frame was not one.",
}
"""One sentence a code, for docs/reference/asyncapi.yaml."""


def comes_back(code: int) -> bool:
    """Whether a client that was closed with this code should come back and resume."""
    return code not in (Close.BYE,) and code < Close.BAD_TOKEN


class Rules(Struct, frozen=True, kw_only=True):
    """How a room is played; chosen when it is opened.

    `mode`: the teacher leads, or each pupil moves on alone. `seconds`: the usual time for a question. `changes`: an
    answer may be changed until the lock. `nicknames`: classmates see chosen names. `leaderboard`: everybody sees the
    best ten after each reveal, and his own place. `speed`: quick answers are worth more. `teams`: their names, if the
    room has any."""

    mode: Literal["teacher", "self_paced"] = "teacher"
    seconds: Seconds | None = None
    changes: bool = False
    nicknames: bool = False
    leaderboard: bool = True
    speed: bool = True
    teams: Annotated[tuple[TeamName, ...], Meta(max_length=10)] = ()


class Option(Struct, frozen=True):
    """An option as everybody sees it; whatever else is stored with it stays inside."""

    key: str
    text: str = ""
