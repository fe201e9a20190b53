"""What was refused to somebody known: 403, and 404 where the address names a person's data."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from api.audit.entries import make_entry
from api.audit.trail import declarations, target_of
from api.deps import Services
from api.middleware import route_template
from api.principal import Principal
from core.errors import EduError, Forbidden, NotFound, Unavailable


async def note_refusal(request: Request, error: EduError) -> EduError:
    """Keep a line of it; the error to answer with: the same, or `Unavailable` when the log cannot be written."""
    principal, services = getattr(request.state, "principal", None), getattr(request.app.state, "services", None)
    if not isinstance(principal, Principal) or not isinstance(services, Services):
        return error
    place = request.method, route_template(request.scope)
    action = _declared(request).get(place)
    if not isinstance(error, Forbidden) and not (isinstance(error, NotFound) and action):
        return error
    told: dict[str, Any] = {"status": error.status, "code": error.code, "member": error.details.get("member")}
    target = target_of(request)
    entry = make_entry(principal, action or " ".join(place)[:100], target=target, outcome="refused", **told)
    try:
        await services.audit.note(entry)
    except Unavailable as full:
        return full
    return error


def _declared(request: Request) -> dict[tuple[str, str], str | None]:
    """The declarations of the application, read once."""
    state = request.app.state
    if not hasattr(state, "audited"):
        state.audited = declarations(request.app)
    found: dict[tuple[str, str], str | None] = state.audited
    return found
