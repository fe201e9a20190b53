"""The gate before every route: finds the caller and the route's class, counts, and lets in or refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection

from api.deps import Access, current_principal, get_services
from api.direct import dependant_of
from api.limits.addresses import client_address
from api.limits.rates import SECONDS, RateClass, allowed, class_of
from api.limits.valkey import AWAY
from api.limits.windows import Taken, Windows
from api.principal import Principal
from core.errors import TooMany, Unauthenticated
from core.settings import Settings
from core.telemetry import limits_refused, limits_unchecked


@dataclass
class Rates:
    """The windows of all callers, and the settings."""

    settings: Settings
    windows: Windows

    async def take(self, name: str, who: str, limit: int, connection: HTTPConnection) -> None:
        """Count one request; raises `TooMany`. While Valkey is away everything is let through and counted."""
        if limit == 0:
            return
        try:
            taken = await self.windows.take(f"{name}:{who}", limit, SECONDS)
        except AWAY:
            limits_unchecked.labels(name).inc()
            return
        connection.scope.setdefault("state", {})["rate"] = headers(name, limit, taken)
        if not taken.allowed:
            limits_refused.labels(name).inc()
            wait = max(1, math.ceil(taken.reset))
            raise TooMany(f"More than {limit} requests a minute. Try again in {wait} s.", retry_after=wait, limit=limit)

    async def take_address(self, connection: HTTPConnection) -> None:
        """Count one request of nobody in particular by its address; raises `TooMany`."""
        await self.take("address", self.address(connection), self.settings.limit_address, connection)

    def address(self, connection: HTTPConnection) -> str:
        """Whose address the request comes from."""
        return client_address(connection, self.settings.trusted_proxies)


@dataclass(eq=False)
class Gate:
    """Runs before every route of the application; raises `TooMany` or `Unauthenticated`."""

    _known: dict[int, tuple[Dependant, RateClass, bool]] = field(default_factory=dict)

    async def __call__(self, connection: HTTPConnection) -> None:
        """Let in or refuse."""
        if connection.scope["type"] == "websocket":
            return  # a whole school comes back at once after a break; sockets are paced by `realtime/pacing.py`
        name, guarded = self._route(connection)
        if name == "none":
            return
        rates = get_services(connection).rates
        if guarded:
            await _let_in(rates, name, connection)
        else:
            await rates.take_address(connection)

    def _route(self, connection: HTTPConnection) -> tuple[RateClass, bool]:
        """The class of the route at hand, and whether it has an access rule; worked out once for each route."""
        dependant = dependant_of(connection.scope)
        found = self._known.get(id(dependant))
        if found is None or found[0] is not dependant:
            found = self._known[id(dependant)] = dependant, class_of(dependant), has_rule(dependant)
        return found[1], found[2]


async def _let_in(rates: Rates, name: RateClass, connection: HTTPConnection) -> None:
    try:
        principal = await current_principal(connection)
    except Unauthenticated:
        await rates.take_address(connection)
        raise
    limit = allowed(rates.settings, name, service=is_service(principal))
    await rates.take(name, key_of(principal), limit, connection)


def is_service(principal: Principal) -> bool:
    """An operator, or a program that acts for nobody."""
    return principal.is_operator or principal.user_id is None


def key_of(principal: Principal) -> str:
    """One caller, whatever token of his it is."""
    return str(principal.user_id) if principal.user_id is not None else f"service {principal.subject}"


def headers(name: str, limit: int, taken: Taken) -> dict[str, str]:
    """The fields that most clients read, and those of draft-ietf-httpapi-ratelimit-headers-10."""
    reset = max(0, math.ceil(taken.reset))
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(taken.remaining),
        "RateLimit-Reset": str(reset),
        "RateLimit-Policy": f'"{name}";q={limit};w={SECONDS}',
        "RateLimit": f'"{name}";r={taken.remaining};t={reset}',
    }


def has_rule(dependant: Dependant | None) -> bool:
    """Whether `require(…)` stands among a route's dependencies."""
    if dependant is None:
        return False
    return any(isinstance(part.call, Access) or has_rule(part) for part in dependant.dependencies)
