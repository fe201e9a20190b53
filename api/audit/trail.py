"""What a route holds to tell what it did. Every route says `audited("noun.verb")` or stands in `impersonal`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection

from api.audit import store
from api.audit.entries import make_entry
from api.audit.queue import AuditLog
from api.deps import current_principal, get_services
from api.principal import Principal
from core.postgres import Connection


@dataclass(frozen=True)
class Trail:
    """The caller, what the route does, and to what."""

    log: AuditLog
    principal: Principal | None
    action: str
    target: str | None = None

    async def note(self, subjects: Iterable[int] = (), *, school_id: int | None = None, **details: Any) -> None:
        """A read: written within a moment. Raises `Unavailable` when the log cannot take it; then show nothing."""
        entry = make_entry(
            self.principal, self.action, subjects=subjects, school_id=school_id, target=self.target, **details
        )
        await self.log.note(entry)

    async def record(
        self,
        connection: Connection,
        subjects: Iterable[int] = (),
        *,
        school_id: int | None = None,
        action: str | None = None,
        target: str | None = None,
        **details: Any,
    ) -> None:
        """A change, in its own transaction and as its last statement."""
        entry = make_entry(
            self.principal,
            action or self.action,
            subjects=subjects,
            school_id=school_id,
            target=target or self.target,
            **details,
        )
        await store.append(connection, [entry])


async def record(connection: Connection, principal: Principal | None, action: str, **told: Any) -> None:
    """A change without a route (a log-in, a command): in its own transaction and as its last statement.

    `told`: subjects, school_id, target, outcome, and details.
    """
    await store.append(connection, [make_entry(principal, action, **told)])


class Audited:
    """The declaration of a route, and its trail."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, connection: HTTPConnection) -> Trail:
        """The trail of this request."""
        principal = await current_principal(connection)
        return Trail(get_services(connection).audit, principal, self.action, target_of(connection))


def audited(action: str) -> Audited:
    """Declares that a route reads or changes a person's data: `Annotated[Trail, Depends(audited("noun.verb"))]`."""
    return Audited(action)


def target_of(connection: HTTPConnection) -> str | None:
    """What the address names: numbers and report names only, for an address may hold anything."""
    named = {**connection.path_params, **connection.query_params}
    numbers = {key: str(value) for key, value in named.items() if key.endswith("id") and str(value).isdigit()}
    return " ".join(f"{key}={value}" for key, value in sorted(numbers.items()) if len(value) < 20) or None


def declarations(app: FastAPI) -> dict[tuple[str, str], str | None]:
    """(method, path) → the action that the route declares, or None."""
    found: dict[tuple[str, str], str | None] = {}
    for route in iter_route_contexts(app.routes):
        actions = list(_actions(getattr(route, "dependant", None)))
        for method in route.methods or ["WS"]:
            found[method, route.path or ""] = actions[0] if actions else None
    return found


def _actions(dependant: Dependant | None) -> Iterator[str]:
    for part in dependant.dependencies if dependant else ():
        if isinstance(part.call, Audited):
            yield part.call.action
        yield from _actions(part)
