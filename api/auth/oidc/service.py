"""Whose account it is that a school's identity provider vouches for.

1. The identity (issuer, subject) is known: its account. 2. An account of that school has the address, and both sides
are sure of it (the provider says verified; here it was proved, or given by the school): they are linked. 3. The
provider's rules give a role: a new account. Else nothing. A provider never reaches into another school.
"""

from __future__ import annotations

import hmac
import unicodedata
from dataclasses import dataclass
from typing import Any

from api.audit.trail import record
from api.auth import store as accounts_store
from api.auth.addresses import domain_of
from api.auth.key_ring import Sealer
from api.auth.oidc import store
from api.auth.oidc.flow import Flow
from api.auth.oidc.provider import Issuer, refused
from api.auth.schemas import LoggedIn
from api.auth.service import Accounts
from api.fields import clean_name
from api.principal import Principal
from core.addresses import canonical
from core.clock import now
from core.errors import Forbidden, NotFound
from core.postgres import Connection, Postgres
from core.settings import OidcProvider, Settings
from core.telemetry import log

_LONGEST_NAME = 200


def issuers(settings: Settings) -> dict[str, Issuer]:
    """The providers of the settings, by name."""
    base = settings.public_url.rstrip("/")
    return {p.name: Issuer(p, f"{base}/auth/oidc/{p.name}/callback") for p in settings.oidc_providers}


@dataclass(frozen=True)
class Back:
    """What the way back from the school's log-in page carries."""

    state: str
    code: str
    issuer: str | None = None


@dataclass
class SchoolLogins:
    """Log-ins by schools' accounts."""

    postgres: Postgres
    accounts: Accounts
    issuers: dict[str, Issuer]
    sealer: Sealer

    async def start(self, name: str, next_page: str) -> tuple[str, str]:
        """Where the browser goes, and the cookie that it keeps."""
        issuer = self._issuer(name)
        flow = Flow.begin(name, next_page)
        return await issuer.address(flow), flow.cookie(self.sealer)

    async def finish(self, name: str, cookie: str, back: Back, client: str | None) -> tuple[LoggedIn, str]:
        """Tokens for who came back, and his next page; raises `Unauthenticated` (not proved) or `Forbidden` (nobody
        here)."""
        chosen = self._issuer(name)
        flow = Flow.of_cookie(self.sealer, cookie)
        if flow is None or flow.provider != name or not hmac.compare_digest(flow.state.encode(), back.state.encode()):
            raise refused("another state", name)
        if not back.code:
            raise refused("no code", name)
        claims = await chosen.claims(flow, back.code, back.issuer)
        async with self.postgres.transaction() as connection:
            user = await _account(connection, chosen.chosen, claims)
        return await self.accounts.open(user, client), flow.next

    def _issuer(self, name: str) -> Issuer:
        if name not in self.issuers:
            raise NotFound("There is no such identity provider.")
        return self.issuers[name]


async def _account(connection: Connection, provider: OidcProvider, claims: dict[str, Any]) -> dict[str, Any]:
    subject = str(claims["sub"])
    await store.lock(connection, provider.issuer, subject)
    user = await store.linked(connection, provider.issuer, subject)
    if user is None:
        email = _proved_address(provider, claims)
        user = await accounts_store.user_by_email(connection, email)
        if user is None:
            user = await _made(connection, provider, claims, email)
        elif not await _may_link(connection, provider, user):
            raise Forbidden(
                "The account with this address cannot be linked: log in with its password and confirm the address, "
                "or ask your school.",
                code="oidc_not_linked",
            )
        await store.link(connection, provider.issuer, subject, user["id"])
        owner = Principal(user["role"], user["id"], user["school_id"])
        await record(connection, owner, "identity.linked", subjects=[user["id"]], provider=provider.name)
        log.info("identity_linked", user_id=user["id"], provider=provider.name)
    if user["school_id"] != provider.school_id or user.get("disabled_at") is not None:
        raise Forbidden("This account is not open here.", code="oidc_no_account")
    return user


async def _may_link(connection: Connection, provider: OidcProvider, user: dict[str, Any]) -> bool:
    sure = user["email_verified_at"] is not None or user["email_source"] == "school"
    same_school = user["school_id"] == provider.school_id
    return sure and same_school and not await store.is_linked(connection, provider.issuer, user["id"])


def _proved_address(provider: OidcProvider, claims: dict[str, Any]) -> str:
    """The address that the provider vouches for."""
    try:
        email = canonical(str(claims.get("email") or ""))
    except ValueError:
        raise _no_address("names no address") from None
    if claims.get("email_verified") not in (True, "true") and not provider.trust_email:
        raise _no_address("has not verified the address")
    if provider.domains and domain_of(email) not in {domain.lower() for domain in provider.domains}:
        raise Forbidden("Addresses of this domain cannot log in here.", code="oidc_domain")
    return email


def _no_address(why: str) -> Forbidden:
    return Forbidden(f"The school's account {why}.", code="oidc_unverified")


async def _made(connection: Connection, provider: OidcProvider, claims: dict[str, Any], email: str) -> dict[str, Any]:
    role = _role(provider, claims)
    if role is None:
        raise Forbidden("There is no account for this address; ask your school.", code="oidc_no_account")
    user = await accounts_store.insert_user(
        connection,
        school_id=provider.school_id,
        role=role,
        name=_name(claims, email),
        email=email,
        password_hash=None,
        email_verified_at=now(),
    )
    log.info("user_registered", user_id=user["id"], school_id=provider.school_id, role=role, provider=provider.name)
    return user


def _role(provider: OidcProvider, claims: dict[str, Any]) -> str | None:
    """By the rule of the settings: the values of one claim, the most restricted role first, else the default."""
    told = claims.get(provider.role_claim) if provider.role_claim else None
    values = told if isinstance(told, list) else [told]
    roles = {provider.roles[value] for value in values if isinstance(value, str) and value in provider.roles}
    return min(roles) if roles else provider.default_role


def _name(claims: dict[str, Any], email: str) -> str:
    """The name that the provider tells, if it is clean."""
    try:
        return clean_name(unicodedata.normalize("NFC", str(claims.get("name") or "")).strip()[:_LONGEST_NAME])
    except ValueError:
        return email.partition("@")[0]
