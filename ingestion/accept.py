"""Events at the door: each one is accepted, known already, or rejected with a reason; none harms its neighbours.

What is rejected goes to `dead_letters`. The answer comes after the commit.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from core.clock import epoch_ms, now
from core.errors import EduError, Forbidden
from core.ids import derived_id_ms, moment_ms, new_id
from core.postgres import Postgres
from ingestion.custom import CustomTypes
from ingestion.decoding import is_own, read_item
from ingestion.events import Event, Kinds, Rejection
from ingestion.letters import DeadLetter, payload_of, person_of
from ingestion.reach import Thing
from ingestion.scope import Caller, Scope
from ingestion.staging import EventRow
from ingestion.writer import Verdict, Writer

OLDEST = timedelta(days=35)
NEWEST = timedelta(minutes=5)
_MINUTE = 60
_BREATH = 500


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item; `reason`, `field`, `message` and `hint` say why it was rejected and what to do.

    `clock_offset_seconds`: how far the app's clock is ahead of ours, if it told its time and is a minute off or more.
    `index` and `line` (from 1, of a stream) tell which item, `path` where in the body; the door fills them in.
    """

    status: Literal["accepted", "duplicate", "rejected"]
    id: UUID | None = None
    reason: str | None = None
    field: str | None = None
    message: str | None = None
    hint: str | None = None
    clock_offset_seconds: int | None = None
    index: int | None = None
    line: int | None = None
    path: str | None = None

    def on_line(self, number: int) -> Outcome:
        """Itself, told of a line of a stream."""
        return replace(self, line=number, path=self.field)


class Origin(NamedTuple):
    """Where an item that is played again comes from: when it first came, and its id where the app gave none."""

    received_at: datetime
    key: str


class _Read(NamedTuple):
    event: Event
    occurred_at: datetime
    key: str


class Acceptor:
    """Takes batches of raw events for one caller each."""

    def __init__(self, postgres: Postgres, writer: Writer, custom: CustomTypes | None = None) -> None:
        self._scope = Scope(postgres)
        self._writer = writer
        self.types = custom or CustomTypes(postgres)

    async def accept(
        self, items: Sequence[Any], caller: Caller, origins: Sequence[Origin] | None = None
    ) -> list[Outcome]:
        """An outcome for each item (of `decoding.decode_body`, or a plain value), in order.

        Raises `Forbidden` for a caller without a school, `TooMany`, `Unavailable`; then nothing was written.
        With `origins` they are played again: what is rejected has its letter already."""
        if caller.school_id is None:
            raise Forbidden("Events belong to a school; this account has none.")
        moment = now()
        read = await self._read(items, caller, caller.school_id, moment, origins)
        rows = [_row(each, caller, caller.school_id) for each in read if not isinstance(each, Rejection)]
        verdicts = iter(await self._writer.submit_events(rows))
        outcomes = [
            _rejected(each) if isinstance(each, Rejection) else _outcome(next(verdicts), each.event, moment)
            for each in read
        ]
        if origins is None:
            await self._bury(items, outcomes, caller)
        return outcomes

    async def _read(
        self, items: Sequence[Any], caller: Caller, school_id: int, moment: datetime, origins: Sequence[Origin] | None
    ) -> list[_Read | Rejection]:
        own = await self.types.of(school_id) if any(map(is_own, items)) else None
        came: Sequence[Origin | None] = origins or [None] * len(items)
        read: list[_Read | Rejection] = []
        for number, (item, origin) in enumerate(zip(items, came, strict=True)):
            read.append(_try_read(item, caller, moment, own, origin))
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # what is refused takes long, and others wait
        named = [(thing, each.occurred_at) for each in read if isinstance(each, _Read) for thing in _things(each.event)]
        foreign = await self._scope.foreign(caller, school_id, named)
        if not foreign:
            return read
        return [each if isinstance(each, Rejection) else _stranger(each, foreign) or each for each in read]

    async def _bury(self, items: Sequence[Any], outcomes: Sequence[Outcome], caller: Caller) -> None:
        letters = [
            letter_of(item, outcome, caller)
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome.status == "rejected"
        ]
        await self._writer.submit_dead_letters(letters)


def letter_of(item: Any, outcome: Outcome, caller: Caller) -> DeadLetter:
    """A rejected item as a letter."""
    return DeadLetter(
        school_id=caller.school_id,
        reason=f"{outcome.reason}: {outcome.message}",
        payload=payload_of(item),
        field=outcome.field,
        user_id=person_of(item) or caller.user_id,
        sender_id=caller.user_id,
        sender_role=caller.role,
        event_id=outcome.id,
    )


def count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many were accepted, known already, rejected."""
    found = Counter(outcome.status for outcome in outcomes)
    return {"accepted": found["accepted"], "duplicate": found["duplicate"], "rejected": found["rejected"]}


def _try_read(
    item: Any, caller: Caller, moment: datetime, own: Kinds | None, origin: Origin | None
) -> _Read | Rejection:
    """A valid event that the caller's role may send, and when it happened."""
    try:
        event = read_item(item, own)
        if caller.role == "student":
            _check_student(event, caller)
        occurred_at = _occurred_at(event, moment, origin)
        check_clock(occurred_at, moment, origin.received_at if origin else moment)
        if event.kind.until is not None and occurred_at >= event.kind.until:
            raise Rejection("deprecated_event", f"{event.kind.name} is not sent any more.", "event_name")
    except Rejection as rejection:
        return rejection
    if event.client_id is not None:
        return _Read(event, occurred_at, event.client_id)
    return _Read(event, occurred_at, origin.key if origin else str(new_id()))


def check_clock(occurred_at: datetime, moment: datetime, received_at: datetime, field: str = "timestamp") -> None:
    """Refuse what happened long before it came here, or lies in the future of `moment`, and say how far off it is."""
    if occurred_at > moment + NEWEST:
        ahead = timedelta(seconds=round((occurred_at - moment).total_seconds()))
        hint = f"Our time is {moment:%Y-%m-%dT%H:%M:%SZ}: set the clock of the device; an admin may replay it later."
        raise Rejection("clock", f"The event lies {ahead} in the future.", field, hint)
    if occurred_at < received_at - OLDEST:
        days = (received_at - occurred_at).days
        hint = "History comes in by `eduanalytics import`."
        raise Rejection("clock", f"The event is {days} days old; {OLDEST.days} are allowed.", field, hint)


def _stranger(read: _Read, foreign: set[tuple[Thing, datetime]]) -> Rejection | None:
    """The first thing that the event names and that is not the caller's; what is not there looks the same."""
    for thing in _things(read.event):
        if (thing, read.occurred_at) in foreign:
            field, identifier = thing
            return Rejection("unknown_id", f"There is no {field} {identifier} here, or it is not yours.", field)
    return None


def _things(event: Event) -> list[Thing]:
    things = []
    if event.user_id is not None:
        things.append(("user_id", event.user_id))
    if event.quiz_id is not None:
        things.append(("quiz_id", event.quiz_id))
    if event.classroom_id is not None:
        things.append(("classroom_id", event.classroom_id))
    if event.session_id is not None:
        things.append(("session_id", event.session_id))
    if event.question_id is not None:
        things.append(("question_id", event.question_id))
    return things


def _check_student(event: Event, caller: Caller) -> None:
    if not event.kind.by_students:
        raise Rejection("forbidden", f"Students do not send {event.kind.name}.", "event_name")
    if event.user_id not in (None, caller.user_id):
        raise Rejection("forbidden", "A student reports only himself.", "user_id")


def _row(read: _Read, caller: Caller, school_id: int) -> EventRow:
    event, moment = read.event, epoch_ms(read.occurred_at)
    return EventRow(
        derived_id_ms(moment, f"{school_id}\x1f{read.key}"),
        school_id,
        event.user_id or caller.user_id,
        event.classroom_id,
        event.quiz_id,
        event.session_id,
        event.question_id,
        event.kind.name,
        event.kind.version,
        event.app,
        datetime.fromtimestamp(moment / 1000, UTC),
        event.client_id,
        event.props.decode(),
    )


def _occurred_at(event: Event, moment: datetime, origin: Origin | None) -> datetime:
    """The event's time; with a client id it must be the same at each retry, so it cannot be ours."""
    if event.timestamp is not None:
        return event.timestamp
    if event.client_id is None:
        return origin.received_at if origin else moment
    try:
        identifier = UUID(event.client_id)
    except ValueError:
        identifier = None
    if identifier is None or identifier.version != 7:
        message = "A retry is known by client_id and timestamp: send both, or a UUIDv7."
        raise Rejection("missing_field", message, "timestamp")
    return datetime.fromtimestamp(moment_ms(identifier) / 1000, moment.tzinfo)


def _rejected(error: EduError, offset: int | None = None) -> Outcome:
    field, text = error.details.get("field"), str(error)
    return Outcome("rejected", None, error.code, field, text, error.hint, clock_offset_seconds=offset)


def _outcome(verdict: Verdict | EduError, event: Event, moment: datetime) -> Outcome:
    offset = None if event.sent_at is None else _offset(event.sent_at, moment)
    if isinstance(verdict, EduError):
        return _rejected(verdict, offset)
    status, identifier = verdict
    if status == "conflict":
        message = "This client_id was used at the same time for another event."
        hint = "The first one stands. Give each event a client_id of its own."
        return Outcome("rejected", identifier, "conflict", "client_id", f"{message} {hint}", hint, offset)
    known: Literal["duplicate", "accepted"] = "duplicate" if status == "duplicate" else "accepted"
    return Outcome(known, identifier, clock_offset_seconds=offset)


def _offset(sent_at: datetime, moment: datetime) -> int | None:
    seconds = round((sent_at - moment).total_seconds())
    return seconds if abs(seconds) >= _MINUTE else None
