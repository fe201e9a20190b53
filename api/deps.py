"""What a route may ask for: the joined parts, the caller, and a rule who may come in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.audit.queue import AuditLog
from api.auth.scopes import TokenScope
from api.principal import Identities, Principal
from core.errors import Forbidden, Unauthenticated, Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from engine.query.access import SecurityContext

if TYPE_CHECKING:
    from api.auth.keys import Keys
    from api.auth.mail.postman import Postman
    from api.auth.oidc.service import SchoolLogins
    from api.auth.service import Accounts
    from api.auth.service_tokens import ServiceTokens
    from api.auth.tokens import Tokens
    from api.limits.gate import Rates
    from api.limits.throttle import Throttle
    from api.reports.service import Reports
    from engine.model.catalog import Catalog
    from engine.run.engine import Engine
    from ingestion.accept import Acceptor
    from ingestion.gauges import Gauges
    from ingestion.loader import Loader
    from ingestion.writer import Writer

ROLES = ("student", "teacher", "admin", "analyst", "operator")


@dataclass(frozen=True)
class Fed:
    """What needs a record: accounts and their tokens, and the ways in for events and answers."""

    accounts: Accounts
    service_tokens: ServiceTokens
    keys: Keys
    acceptor: Acceptor
    writer: Writer
    loader: Loader
    postman: Postman
    school_logins: SchoolLogins


@dataclass
class Services:
    """The parts that `api/app.py` joined; `extra` holds those of one door only (the live hub)."""

    settings: Settings
    tokens: Tokens
    identities: Identities
    warehouse: Warehouse
    catalog: Catalog
    engine: Engine
    reports: Reports
    rates: Rates
    throttle: Throttle
    record: Postgres | None = None
    fed: Fed | None = None
    gauges: Gauges | None = None
    audit: AuditLog = field(default_factory=lambda: AuditLog(None))
    extra: Mapping[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def postgres(self) -> Postgres:
        """The record; raises `Unavailable` where the semantic layer runs alone."""
        if self.record is None:
            raise Unavailable("This server has no record; it answers queries only.")
        return self.record

    @property
    def ingestion(self) -> Fed:
        """Accounts and the ways in; raises `Unavailable` where the semantic layer runs alone."""
        if self.fed is None:
            raise Unavailable("This server has no record; it answers queries only.")
        return self.fed


def get_services(connection: HTTPConnection) -> Services:
    """The joined parts; `Unavailable` before the start has ended."""
    found = getattr(connection.app.state, "services", None)
    if not isinstance(found, Services):
        raise Unavailable("The server is starting. Try again.")
    return found


def read_token(connection: HTTPConnection) -> str:
    """The token of `Authorization: Bearer x`, or bare, or of `x-cube-authorization`."""
    headers = connection.headers
    text = (headers.get("x-cube-authorization") or headers.get("authorization") or "").strip()
    if not text:
        raise Unauthenticated("Authorization header isn't set", code="no_token")
    scheme, _, rest = text.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else text


async def authenticate(services: Services, token: str) -> Principal:
    """The caller of a token, if his log-in has not ended."""
    principal = services.tokens.verify(token)
    await services.identities.confirm(principal)
    return principal


async def authenticate_person(services: Services, token: str) -> Principal:
    """The caller of a token at a door that has no scope: no service token comes in; raises `Forbidden`."""
    principal = await authenticate(services, token)
    if principal.scopes is not None:
        raise Forbidden("A service token may not do that.", code="scope_missing")
    return principal


async def current_principal(connection: HTTPConnection) -> Principal:
    """The caller; raises `Unauthenticated`."""
    known = getattr(connection.state, "principal", None)
    if isinstance(known, Principal):
        return known
    principal = await authenticate(get_services(connection), read_token(connection))
    connection.state.principal = principal
    return principal


class Access:
    """The rule of a route: which roles may come in, and the scope that a service token needs (none: it may not).

    Every route has one or is named public in `api/app.py`; where router and route have one, both must allow."""

    def __init__(self, *roles: str, scope: TokenScope | None = None) -> None:
        self.roles = frozenset(roles or ROLES) | {"operator"}
        self.any_role = not roles
        self.scope = scope

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """The caller, if his role is one of ours."""
        principal = await current_principal(connection)
        if principal.scopes is not None and self.scope not in principal.scopes:
            raise Forbidden("This service token may not do that.", code="scope_missing", needs=self.scope)
        if not self.any_role and principal.role not in self.roles:
            raise Forbidden(f"A {principal.role} may not do that.", needs=sorted(self.roles))
        return principal


def require(*roles: str, scope: TokenScope | None = None) -> Access:
    """The rule for these roles (none named: whoever is logged in); an operator may always."""
    return Access(*roles, scope=scope)


async def security_context(connection: HTTPConnection) -> SecurityContext:
    """What the access policies of the model look at."""
    return await get_services(connection).identities.context(await current_principal(connection))


async def _services(connection: HTTPConnection) -> Services:
    """`get_services` without the thread that FastAPI would give a plain function."""
    return get_services(connection)


ServicesDep = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(current_principal)]
"""Who asks; that he may is the rule of the router or the route."""
ContextDep = Annotated[SecurityContext, Depends(security_context)]
