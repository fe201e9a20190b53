"""POST /api/v1/events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from fastapi.openapi.models import Example
from starlette.responses import Response

from api.auth.scopes import TokenScope
from api.deps import Caller, ServicesDep, require
from api.envelope import JsonResponse
from api.events.service import event_caller, items_of, shown
from core.errors import InvalidField
from ingestion.accept import count

router = APIRouter(prefix="/events", tags=["events"], dependencies=[Depends(require(scope=TokenScope.EVENTS))])
_ONE: dict[str, Any] = {
    "event_name": "content_viewed",
    "app": "notebook",
    "classroom_id": 10,
    "metadata": {"content_id": "chapter-5", "duration": 38.5},
    "timestamp": "2026-10-07T10:05:23Z",
    "client_id": "tablet-17-000123",
}
_EXAMPLES = {
    "one": Example(summary="One event", value=_ONE),
    "batch": Example(summary="Many; one that is bad does not harm the others", value={"events": [_ONE]}),
}


@router.post("", status_code=202)
async def send_events(
    body: Annotated[Any, Body(openapi_examples=_EXAMPLES)], caller: Caller, services: ServicesDep
) -> Response:
    """Send one event or many; the answer comes after they are committed and has an outcome for each, in order.

    A retry with the same client_id and timestamp counts once. A single event that is refused answers 422."""
    items = items_of(body, "events")
    outcomes = await services.ingestion.acceptor.accept(items, event_caller(caller))
    refused = outcomes[0]
    if refused.status == "rejected" and isinstance(body, dict) and set(body) != {"events"}:
        raise InvalidField(refused.message, code=refused.reason, field=refused.field or "event_name")
    data = {**count(outcomes), "items": [shown(outcome) for outcome in outcomes]}
    return JsonResponse({"success": True, "message": "Taken.", "data": data}, 202)
