"""Hands events to ingestion for a caller, and tells what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from api.lines import Confirm, take_lines
from api.principal import Principal
from core.errors import Forbidden, InvalidField, TooLarge
from ingestion.accept import Acceptor, Outcome, count
from ingestion.decoding import decode_body, decode_one
from ingestion.scope import Caller

MOST_ITEMS = 5_000


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


async def stream_answer(stream: AsyncIterable[bytes], acceptor: Acceptor, caller: Caller, confirm: Confirm) -> Response:
    """The answer to a stream of lines, one event each; raises as `take_lines` does."""

    async def take(items: list[Any]) -> list[Outcome]:
        return await acceptor.accept(items, caller)

    return _answer(await take_lines(stream, decode_one, take, confirm))


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


def _answer(data: dict[str, Any]) -> Response:
    body = msgspec.json.encode({"success": True, "message": "Taken.", "data": data})
    return Response(body, 202, media_type="application/json")
