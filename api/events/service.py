"""Hands events to ingestion for a caller."""

from __future__ import annotations

from typing import Any

from api.principal import Principal
from core.errors import Forbidden, InvalidField, TooLarge
from ingestion.accept import Outcome
from ingestion.scope import Caller

MOST_ITEMS = 5_000


def event_caller(principal: Principal, school_id: int | None = None) -> Caller:
    """The sender as ingestion knows him; a service has no user and sends nothing."""
    if principal.user_id is None:
        raise Forbidden("A service's token sends no events and no answers; log in as a user.")
    return Caller(principal.user_id, school_id or principal.school_id, principal.role)  # type: ignore[arg-type]


def items_of(body: Any, name: str) -> list[Any]:
    """The items of a body: one object, a list, or `{"<name>": [...]}`."""
    found = body.get(name) if isinstance(body, dict) and set(body) == {name} else body
    items = found if isinstance(found, list) else [found]
    if not items:
        raise InvalidField(f"There is nothing in {name}.", field=name)
    if len(items) > MOST_ITEMS:
        raise TooLarge(f"At most {MOST_ITEMS} at once.", limit=MOST_ITEMS)
    return items


def shown(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the API tells it; what does not apply is left out."""
    told = {
        "status": outcome.status,
        "id": str(outcome.id) if outcome.id else None,
        "reason": outcome.reason,
        "field": outcome.field,
        "message": outcome.message,
    }
    return {key: value for key, value in told.items() if value is not None}
