"""Events at the door: each one is accepted, known already, or rejected with a reason; none harms its neighbours.

What is rejected goes to `dead_letters`. The answer comes after the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from core.clock import now
from core.errors import EduError, Forbidden
from core.ids import derived_id, moment_ms, new_id
from core.postgres import Postgres
from ingestion.events import MOST_BYTES, Event, Rejection, read_event
from ingestion.reach import Thing
from ingestion.scope import Caller, Scope
from ingestion.staging import DeadLetter, EventRow
from ingestion.writer import Verdict, Writer

OLDEST = timedelta(days=35)
NEWEST = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item; `reason`, `field` and `message` say why it was rejected."""

    status: Literal["accepted", "duplicate", "rejected"]
    id: UUID | None = None
    reason: str | None = None
    field: str | None = None
    message: str | None = None


class Acceptor:
    """Takes batches of raw events for one caller each."""

    def __init__(self, postgres: Postgres, writer: Writer) -> None:
        self._scope = Scope(postgres)
        self._writer = writer

    async def accept(self, items: Sequence[Any], caller: Caller) -> list[Outcome]:
        """An outcome for each item, in order. Raises `Forbidden` for a caller without a school, `TooMany`,
        `Unavailable`; then nothing was written."""
        if caller.school_id is None:
            raise Forbidden("Events belong to a school; this account has none.")
        outcomes: list[Outcome | None] = [None] * len(items)
        rows: dict[int, EventRow] = {}
        for number, read in enumerate(await self._read(items, caller, caller.school_id)):
            if isinstance(read, Rejection):
                outcomes[number] = _rejected(read)
            else:
                rows[number] = read
        for number, verdict in zip(rows, await self._writer.submit_events(list(rows.values())), strict=True):
            outcomes[number] = _outcome(verdict)
        finished = [outcome for outcome in outcomes if outcome is not None]
        await self._bury(items, finished, caller.school_id)
        return finished

    async def _read(self, items: Sequence[Any], caller: Caller, school_id: int) -> list[EventRow | Rejection]:
        moment = now()
        read = [_try_read(item, caller, moment) for item in items]
        events = [each for each in read if not isinstance(each, Rejection)]
        named = [(thing, occurred_at) for event, occurred_at in events for thing in _things(event)]
        foreign = await self._scope.foreign(caller, school_id, named)
        return [
            each if isinstance(each, Rejection) else _stranger(*each, foreign) or _row(*each, caller, school_id)
            for each in read
        ]

    async def _bury(self, items: Sequence[Any], outcomes: Sequence[Outcome], school_id: int) -> None:
        letters = [
            DeadLetter(school_id, f"{outcome.reason}: {outcome.message}", _payload(item))
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome.status == "rejected"
        ]
        await self._writer.submit_dead_letters(letters)


def count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many were accepted, known already, rejected."""
    found = Counter(outcome.status for outcome in outcomes)
    return {"accepted": found["accepted"], "duplicate": found["duplicate"], "rejected": found["rejected"]}


def _try_read(item: Any, caller: Caller, moment: datetime) -> tuple[Event, datetime] | Rejection:
    """A valid event that the caller's role may send, and when it happened."""
    try:
        event = read_event(item)
        _check_caller(event, caller)
        occurred_at = _occurred_at(event, moment)
        if not moment - OLDEST <= occurred_at <= moment + NEWEST:
            raise Rejection("clock", "The event is older than 35 days or lies in the future.", "timestamp")
    except Rejection as rejection:
        return rejection
    return event, occurred_at


def _stranger(event: Event, occurred_at: datetime, foreign: set[tuple[Thing, datetime]]) -> Rejection | None:
    """The first thing that the event names and that is not the caller's; what is not there looks the same."""
    for thing in _things(event):
        if (thing, occurred_at) in foreign:
            field, identifier = thing
            return Rejection("unknown_id", f"There is no {field} {identifier} here, or it is not yours.", field)
    return None


def _things(event: Event) -> list[Thing]:
    pairs = [("user_id", event.user_id), *event.links.items()]
    return [(field, identifier) for field, identifier in pairs if identifier is not None]


def _check_caller(event: Event, caller: Caller) -> None:
    if caller.role != "student":
        return
    if not event.kind.by_students:
        raise Rejection("forbidden", f"Students do not send {event.kind.name}.", "event_name")
    if event.user_id not in (None, caller.user_id):
        raise Rejection("forbidden", "A student reports only himself.", "user_id")


def _row(event: Event, occurred_at: datetime, caller: Caller, school_id: int) -> EventRow:
    identifier = derived_id(occurred_at, school_id, new_id() if event.client_id is None else event.client_id)
    return EventRow(
        event_id=identifier,
        school_id=school_id,
        user_id=event.user_id or caller.user_id,
        classroom_id=event.links["classroom_id"],
        quiz_id=event.links["quiz_id"],
        session_id=event.links["session_id"],
        question_id=event.links["question_id"],
        event_name=event.kind.name,
        schema_version=event.kind.version,
        app=event.app,
        occurred_at=datetime.fromtimestamp(moment_ms(identifier) / 1000, UTC),
        client_id=event.client_id,
        props=event.props.decode(),
    )


def _occurred_at(event: Event, moment: datetime) -> datetime:
    """The event's time; with a client id it must be the same at each retry, so it cannot be ours."""
    if event.timestamp is not None:
        return event.timestamp
    if event.client_id is None:
        return moment
    try:
        identifier = UUID(event.client_id)
    except ValueError:
        identifier = None
    if identifier is None or identifier.version != 7:
        raise Rejection(
            "missing_field", "A retry is known by client_id and timestamp: send both, or a UUIDv7.", "timestamp"
        )
    return datetime.fromtimestamp(moment_ms(identifier) / 1000, moment.tzinfo)


def _rejected(error: EduError) -> Outcome:
    return Outcome("rejected", None, error.code, error.details.get("field"), error.message)


def _outcome(verdict: Verdict | EduError) -> Outcome:
    if isinstance(verdict, EduError):
        return _rejected(verdict)
    if verdict.status == "conflict":
        message = "This client_id was used at the same time for another event."
        return Outcome("rejected", verdict.event_id, "conflict", "client_id", message)
    return Outcome("duplicate" if verdict.status == "duplicate" else "accepted", verdict.event_id)


def _payload(item: Any) -> str:
    """The item as JSON that Postgres takes, cut where it is too long."""
    try:
        text = msgspec.json.encode(item).decode()
        if len(text) <= MOST_BYTES and "\\u0000" not in text:
            return text
    except (ValueError, TypeError, RecursionError, OverflowError):
        text = repr(item)
    safe = text[:4_000].encode("utf-8", "replace").decode()
    return msgspec.json.encode({"unreadable": safe.replace("\\u0000", "?").replace("\x00", "?")}).decode()
