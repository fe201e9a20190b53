"""POST /api/v1/events."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.auth.scopes import TokenScope
from api.bodies import NDJSON
from api.deps import current_principal, get_services, require
from api.direct import DirectRoute
from api.events.service import body_answer, event_caller, stream_answer
from api.limits.rates import limited
from core.errors import TooMany

_RULE = [Depends(require(scope=TokenScope.EVENTS)), Depends(limited("events"))]
router = APIRouter(prefix="/events", tags=["events"], dependencies=_RULE, route_class=DirectRoute)
_ONE: dict[str, Any] = {
    "event_name": "content_viewed",
    "app": "notebook",
    "classroom_id": 10,
    "metadata": {"content_id": "chapter-5", "duration": 38.5},
    "timestamp": "2026-10-07T10:05:23Z",
    "client_id": "tablet-17-000123",
}
_EXAMPLES = {
    "one": {"summary": "One event", "value": _ONE},
    "batch": {"summary": "Many; one that is bad does not harm the others", "value": {"events": [_ONE]}},
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {}, "examples": _EXAMPLES},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line, as many as you like."}},
    },
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`return=minimal` leaves the accepted items out of the answer; `index` tells which the others are.",
}


@router.post("", status_code=202, openapi_extra={"requestBody": _BODY, "parameters": [_PREFER]})
async def send_events(request: Request) -> Response:
    """Send one event or many; the answer comes after they are committed and has an outcome for each, in order.

    A retry with the same client_id and timestamp counts once. A single event that is refused answers 422. Bodies may
    come compressed (`Content-Encoding: gzip` or `zstd`). A stream (`application/x-ndjson`, one event a line) is
    committed as it comes; its answer counts the outcomes and lists those that are not `accepted`, by line."""
    services = get_services(request)
    ingestion, principal = services.ingestion, await current_principal(request)
    caller = event_caller(principal)
    if ingestion.writer.full:
        raise TooMany("The queue of accepted input is full.", retry_after=1)
    if request.headers.get("content-type", "").encode("latin-1").startswith(NDJSON):
        confirm = partial(services.identities.confirm, principal)
        return await stream_answer(request.stream(), ingestion.acceptor, caller, confirm)
    minimal = "return=minimal" in request.headers.get("prefer", "")
    return await body_answer(await request.body(), ingestion.acceptor, caller, minimal=minimal)
