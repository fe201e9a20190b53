"""What may happen and what each event must say: a typed schema per event name and version.

A new field that may be left out is added to the newest version; anything else makes a new version.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from core.errors import InvalidField, nearest

Id: TypeAlias = Annotated[int, Meta(gt=0, le=2**63 - 1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
Line: TypeAlias = Annotated[str, Meta(min_length=1, max_length=300)]
Text: TypeAlias = Annotated[str, Meta(max_length=4_000)]

_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
MOST_BYTES = 16_384
MOST_DEPTH = 8
_MOST_NAMES = 20


class Rejection(InvalidField):
    """Why an event is not taken: a stable reason, a sentence, and the field at fault."""

    def __init__(self, reason: str, message: str, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, code=reason, field=field, hint=hint)
        self.field = field


class Metadata(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What every event may say; ids given here or beside the metadata mean the same."""

    quiz_id: Id | None = None
    classroom_id: Id | None = None
    session_id: Id | None = None
    question_id: Id | None = None


class QuizCreated(Metadata, frozen=True):
    """A teacher has written a quiz."""

    title: Line | None = None
    question_count: Annotated[int, Meta(ge=0, le=10_000)] | None = None


class QuizStarted(Metadata, frozen=True):
    """A teacher has opened a session."""

    start_time: Moment | None = None


class QuestionDisplayed(Metadata, frozen=True):
    """A question is on the board."""

    display_time: Moment | None = None


class AnswerSubmitted(Metadata, frozen=True):
    """A student has answered. `correct` may be sent and is never kept: the server grades."""

    answer: Text | Annotated[list[Line], Meta(max_length=100)] | bool | int | float | None = None
    correct: bool | None = None
    time_spent: Seconds | None = None
    attempt_number: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class QuizEnded(Metadata, frozen=True):
    """A teacher has closed the session."""

    end_time: Moment | None = None


class Login(Metadata, frozen=True):
    """A student has logged in or out."""

    device: Line | None = None


class ClassroomJoined(Metadata, frozen=True):
    """A student has entered or left a classroom."""

    reason: Line | None = None


class ContentViewed(Metadata, frozen=True):
    """Somebody has looked at something that is no quiz."""

    content_id: Line
    content_type: Line | None = None
    title: Line | None = None
    duration: Seconds | None = None


class HelpRequested(Metadata, frozen=True):
    """A student needs assistance."""

    topic: Line | None = None
    message: Text | None = None


class AppError(Metadata, frozen=True):
    """An app has failed."""

    message: Text
    code: Line | None = None
    screen: Line | None = None
    app_version: Line | None = None


@dataclass(frozen=True, slots=True)
class EventType:
    """One name in one version: its metadata, the app that sends it, the ids it needs, whether students may send it.

    `check` (of a school's own type) raises `Rejection` for metadata that its JSON Schema refuses; `until`: events that
    happened later are refused."""

    name: str
    metadata: type[Metadata] = Metadata
    app: str | None = None
    needs: tuple[str, ...] = ()
    by_students: bool = True
    version: int = 1
    check: Callable[[dict[str, Any]], None] | None = None
    until: datetime | None = None


_TYPES = (
    EventType("quiz_created", QuizCreated, "whiteboard", ("quiz_id",), by_students=False),
    EventType("quiz_started", QuizStarted, "whiteboard", ("quiz_id",), by_students=False),
    EventType("question_displayed", QuestionDisplayed, "whiteboard", ("question_id",), by_students=False),
    EventType("answer_submitted", AnswerSubmitted, "notebook", ("question_id",)),
    EventType("quiz_ended", QuizEnded, "whiteboard", ("quiz_id",), by_students=False),
    EventType("student_login", Login, "notebook"),
    EventType("student_logout", Login, "notebook"),
    EventType("classroom_joined", ClassroomJoined, "notebook", ("classroom_id",)),
    EventType("classroom_left", ClassroomJoined, "notebook", ("classroom_id",)),
    EventType("content_viewed", ContentViewed),
    EventType("help_requested", HelpRequested, "notebook"),
    EventType("app_error", AppError),
)
TYPES: Mapping[tuple[str, int], EventType] = {(kind.name, kind.version): kind for kind in _TYPES}
NAMES = tuple(dict.fromkeys(kind.name for kind in _TYPES))
Kinds: TypeAlias = Mapping[tuple[str, int], EventType]
"""Types by name and version."""


class Body(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event as an app sends it. The school is not in it: that comes from the caller."""

    event_name: Annotated[str, Meta(max_length=100)]
    app: Literal["whiteboard", "notebook"] | None = None
    user_id: Id | None = None
    quiz_id: Id | None = None
    classroom_id: Id | None = None
    session_id: Id | None = None
    question_id: Id | None = None
    metadata: dict[str, Any] | None = None
    timestamp: Moment | None = None
    client_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    schema_version: Annotated[int, Meta(ge=1, le=32_767)] = 1
    sent_at: Moment | None = None


@dataclass(slots=True)
class Event:
    """A valid event, with the ids of the things that it is about. (Not frozen: many thousand are made in a second.)"""

    kind: EventType
    app: str | None
    user_id: int | None
    classroom_id: int | None
    quiz_id: int | None
    session_id: int | None
    question_id: int | None
    props: bytes
    timestamp: datetime | None
    client_id: str | None
    sent_at: datetime | None = None


def read_event(raw: Any, own: Kinds | None = None) -> Event:
    """A decoded JSON value as an event, or `Rejection` with the field at fault; `own`: the school's own types."""
    check_value(raw)
    body: Body = _convert(raw, Body, "")
    kind = _kind(body, own or {})
    if kind.check is None:
        return finish(kind, body, _convert(body.metadata or {}, kind.metadata, "metadata"))
    kind.check(body.metadata or {})
    event = finish(kind, body, kind.metadata())
    event.props = msgspec.json.encode(body.metadata or {})
    return event


def finish(kind: EventType, body: Any, metadata: Metadata) -> Event:
    """The event of a body and its metadata, both typed already; raises `Rejection` for ids missing or contradictory."""
    event = Event(
        kind,
        body.app or kind.app,
        body.user_id,
        _link("classroom_id", body.classroom_id, metadata.classroom_id),
        _link("quiz_id", body.quiz_id, metadata.quiz_id),
        _link("session_id", body.session_id, metadata.session_id),
        _link("question_id", body.question_id, metadata.question_id),
        _props(metadata),
        body.timestamp,
        body.client_id,
        body.sent_at,
    )
    for name in kind.needs:
        if getattr(event, name) is None:
            raise Rejection("missing_field", f"A {kind.name} event needs {name}.", name)
    return event


def check_value(value: Any) -> None:
    """Refuse what Postgres or a reader of the numbers could not take: NUL, half characters, NaN, depth, size."""
    _check(value, "", 0)
    if len(msgspec.json.encode(value)) > MOST_BYTES:
        raise Rejection("too_large", f"An event has at most {MOST_BYTES} bytes.")


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise Rejection("too_deep", f"Values nest at most {MOST_DEPTH} deep.", path.split(".")[0] or None)
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Rejection("not_a_number", "Numbers must be finite.", path or None)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise Rejection("invalid_field", "The number is too large.", path or None)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, path)
            _check(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, f"{path}[{number}]", depth + 1)


def _check_text(text: str, path: str) -> None:
    if _BAD_TEXT.search(text):
        raise Rejection("bad_text", "Texts must not hold NUL characters or half surrogate pairs.", path or None)


def _kind(body: Body, own: Kinds) -> EventType:
    place = body.event_name, body.schema_version
    kind = TYPES.get(place) or own.get(place)
    if kind:
        return kind
    names = list(dict.fromkeys(name for name, _ in own)) if own and "." in body.event_name else list(NAMES)
    if body.event_name in names:
        message = f"There is no version {body.schema_version} of {body.event_name}."
        raise Rejection("unknown_version", message, "schema_version")
    similar = nearest(body.event_name, names, limit=1)
    hint = f"Did you mean {similar[0]}?" if similar else f"Known are {', '.join(names[:_MOST_NAMES])}."
    raise Rejection("unknown_event", f"There is no event {body.event_name!r}.", "event_name", hint)


def _link(name: str, beside: int | None, inside: int | None) -> int | None:
    if inside is None:
        return beside
    if beside is not None and beside != inside:
        raise Rejection("invalid_field", f"{name} is {beside} here and {inside} in the metadata.", f"metadata.{name}")
    return inside


_NOT_KEPT = ("quiz_id", "classroom_id", "session_id", "correct")
_encode = msgspec.json.Encoder().encode


def _props(metadata: Metadata) -> bytes:
    """What is kept of the metadata: not the ids that have columns, nor what a client says of correctness."""
    said = [name for name in _NOT_KEPT if getattr(metadata, name, None) is not None]
    return _encode(msgspec.structs.replace(metadata, **dict.fromkeys(said)) if said else metadata)


_STRUCT = re.compile(r"^Object (missing required|contains unknown) field `(?P<name>[^`]*)`")
_PATH = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")


def _convert(raw: Any, kind: type[Any], prefix: str) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _rejection(str(error), prefix) from None


def _rejection(text: str, prefix: str) -> Rejection:
    found = _PATH.search(text)
    message = _PATH.sub("", text)
    parts = [prefix, found["path"] if found else ""]
    reason = "invalid_field"
    if struct := _STRUCT.match(message):
        parts.append(struct["name"])
        reason = "missing_field" if "missing" in message else "unknown_field"
    return Rejection(reason, f"{message}.", ".".join(part for part in parts if part) or None)
