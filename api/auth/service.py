"""Log-in: the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.audit.trail import record
from api.auth import store
from api.auth.addresses import login_name
from api.auth.admission import admitted
from api.auth.passwords import Passwords
from api.auth.schemas import LoggedIn, TokenPair, User
from api.auth.sessions import Sessions
from api.principal import Identities, Principal
from core.errors import Unauthenticated
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log


@dataclass
class Accounts:
    """Accounts over the record."""

    settings: Settings
    postgres: Postgres
    identities: Identities
    passwords: Passwords
    sessions: Sessions

    async def login(
        self, email: str, password: str, new_password: str | None = None, client: str | None = None
    ) -> LoggedIn:
        """Tokens for an address (or user name) and its password; raises `Unauthenticated`, the same for every reason.

        Who gave the right password learns more: `Forbidden` when it was for one use and no new one comes with it."""
        async with self.postgres.transaction() as connection:
            user = await store.user_by_email(connection, login_name(email))
        kept = user["password_hash"] if user else None
        right = await self.passwords.matches(password, kept)
        if not right or user is None or kept is None or user["disabled_at"] is not None:
            raise await self._refused(user)
        chosen = admitted(self.settings, user, password, new_password) or password
        outdated = chosen != password or self.passwords.outdated(kept)
        renewed = await self.passwords.hash(chosen) if outdated else None
        async with self.postgres.transaction() as connection:
            if not await store.hold_password(connection, user["id"], kept):  # replaced while we looked
                raise await self._refused(user)
            if renewed:
                await store.keep_hash(connection, user["id"], renewed)
            pair = await self._open(connection, user, client)
            await record(connection, _caller(user), "login.password", subjects=[user["id"]])
        return LoggedIn(user=User(**user), **pair.model_dump())

    async def open(self, user: dict[str, Any], client: str | None = None) -> LoggedIn:
        """Log somebody in whose identity another has proved (a school's identity provider)."""
        async with self.postgres.transaction() as connection:
            pair = await self._open(connection, user, client, "oidc")
            await record(connection, _caller(user), "login.school", subjects=[user["id"]])
        return LoggedIn(user=User(**user), **pair.model_dump())

    async def _refused(self, user: dict[str, Any] | None) -> Unauthenticated:
        """One line of the log in any case, so that the answer takes the same time."""
        known = {"subjects": [user["id"]], "school_id": user["school_id"]} if user else {}
        async with self.postgres.transaction() as connection:
            await record(connection, None, "login.password", outcome="refused", **known)
        log.info("login_refused", user_id=user["id"] if user else None)
        return Unauthenticated("The e-mail address or the password is wrong.", code="bad_credentials")

    async def _open(
        self, connection: Connection, user: dict[str, Any], client: str | None = None, method: str = "password"
    ) -> TokenPair:
        return await self.sessions.open(connection, user["id"], client, method)


def _caller(user: dict[str, Any]) -> Principal:
    return Principal(user["role"], user["id"], user["school_id"])
