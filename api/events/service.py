"""Hands events to ingestion for a caller, and tells what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from api.events.lines import Line, groups
from api.principal import Principal
from core.errors import EduError, Forbidden, InvalidField, TooLarge
from ingestion.accept import Acceptor, Outcome, count
from ingestion.decoding import decode_body
from ingestion.scope import Caller

MOST_ITEMS = 5_000
MOST_LISTED = 1_000
"""So many lines of a stream are listed in its answer; the others are counted, and lie in the dead letters."""


def event_caller(principal: Principal, school_id: int | None = None) -> Caller:
    """The sender as ingestion knows him; a service has no user and sends nothing."""
    if principal.user_id is None:
        raise Forbidden("A service's token sends no events and no answers; log in as a user.")
    return Caller(principal.user_id, school_id or principal.school_id, principal.role)  # type: ignore[arg-type]


async def body_answer(body: bytes, acceptor: Acceptor, caller: Caller, *, minimal: bool = False) -> Response:
    """The answer to one event, a list or `{"events": [...]}`; raises `InvalidField` for a single refused one."""
    items, one = decode_body(body)
    _check_number(items, "events")
    outcomes = await acceptor.accept(items, caller)
    first = outcomes[0]
    if one and first.status == "rejected":
        field = first.field or "event_name"
        raise InvalidField(first.message, code=first.reason, field=field, event_id=first.id and str(first.id))
    prefix = "" if one else "" if body.lstrip()[:1] == b"[" else "events"
    counts = count(outcomes)
    told: Sequence[Outcome] = outcomes
    if minimal or counts["rejected"]:
        told = [
            _placed(number, outcome, prefix, one)
            for number, outcome in enumerate(outcomes)
            if not minimal or outcome.status != "accepted"
        ]
    return _answer({**counts, "items": told})


async def stream_answer(stream: AsyncIterable[bytes], acceptor: Acceptor, caller: Caller) -> Response:
    """The answer to a stream of lines: counts, and the items that were not accepted.

    An error on the way says how many `lines` have their outcome already; what was accepted of them is committed."""
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    listed: list[Outcome] = []
    lines = 0
    try:
        async for group in groups(stream):
            outcomes = await acceptor.accept_patiently([line.item for line in group], caller)
            for status, number in count(outcomes).items():
                counts[status] += number
            listed += list(_exceptions(group, outcomes))[: MOST_LISTED - len(listed)]
            lines = group[-1].number
    except EduError as error:
        error.details["lines"] = lines
        raise
    left_out = counts["duplicate"] + counts["rejected"] - len(listed)
    return _answer({**counts, "lines": lines, "items": listed, "left_out": left_out})


def items_of(body: Any, name: str) -> list[Any]:
    """The items of a body: one object, a list, or `{"<name>": [...]}`."""
    found = body.get(name) if isinstance(body, dict) and set(body) == {name} else body
    items = found if isinstance(found, list) else [found]
    _check_number(items, name)
    return items


def _check_number(items: Sequence[Any], name: str) -> None:
    if not items:
        raise InvalidField(f"There is nothing in {name}.", field=name)
    if len(items) > MOST_ITEMS:
        raise TooLarge(f"At most {MOST_ITEMS} at once.", limit=MOST_ITEMS)


def _placed(number: int, outcome: Outcome, prefix: str, one: bool) -> Outcome:
    if outcome.status == "accepted" or one:
        return outcome
    path = None
    if outcome.status == "rejected":
        path = f"{prefix}[{number}]" + (f".{outcome.field}" if outcome.field else "")
    return replace(outcome, index=number, path=path)


def _exceptions(group: Sequence[Line], outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    for line, outcome in zip(group, outcomes, strict=True):
        if outcome.status != "accepted":
            yield replace(outcome, line=line.number, path=outcome.field)


def _answer(data: dict[str, Any]) -> Response:
    body = msgspec.json.encode({"success": True, "message": "Taken.", "data": data})
    return Response(body, 202, media_type="application/json")
