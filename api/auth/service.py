"""Log-in, refresh, log-out: the rules."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from api.auth import store
from api.auth.addresses import login_name
from api.auth.admission import admitted
from api.auth.passwords import Passwords
from api.auth.schemas import LoggedIn, TokenPair, User
from api.auth.tokens import Tokens
from api.principal import Identities, Principal
from core.clock import now
from core.errors import Unauthenticated
from core.ids import new_id
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log

_REFUSED = "The e-mail address or the password is wrong."
_SPENT = "The refresh token is not good any more. Log in again."


@dataclass
class Accounts:
    """Accounts and log-ins over the record."""

    settings: Settings
    postgres: Postgres
    tokens: Tokens
    identities: Identities
    passwords: Passwords
    secret: bytes

    async def login(self, email: str, password: str, new_password: str | None = None) -> LoggedIn:
        """Tokens for an address (or user name) and its password; raises `Unauthenticated`, the same for every reason.

        Who gave the right password learns more: `Forbidden` when it was for one use and no new one comes with it."""
        async with self.postgres.transaction() as connection:
            user = await store.user_by_email(connection, login_name(email))
        kept = user["password_hash"] if user else None
        if not await self.passwords.matches(password, kept) or user is None:
            log.info("login_refused", user_id=user["id"] if user else None)
            raise Unauthenticated(_REFUSED, code="bad_credentials")
        chosen = admitted(self.settings, user, password, new_password) or password
        outdated = chosen != password or self.passwords.outdated(user.pop("password_hash"))
        renewed = await self.passwords.hash(chosen) if outdated else None
        async with self.postgres.transaction() as connection:
            if renewed:
                await store.keep_hash(connection, user["id"], renewed)
            pair = await self._open(connection, user)
        return LoggedIn(user=User(**user), **pair.model_dump())

    async def open(self, user: dict[str, Any]) -> LoggedIn:
        """Log somebody in whose identity another has proved (a school's identity provider)."""
        async with self.postgres.transaction() as connection:
            pair = await self._open(connection, user)
        return LoggedIn(user=User(**user), **pair.model_dump())

    async def _open(self, connection: Connection, user: dict[str, Any]) -> TokenPair:
        session_id, moment = new_id(), now()
        refresh_token = self._refresh_token(session_id)
        expires_at = self._expiry(moment, moment)
        await store.open_session(connection, session_id, user["id"], _hash(refresh_token), moment, expires_at)
        return self._pair(user, user["id"], session_id, refresh_token, moment, expires_at)

    async def refresh(self, token: str) -> TokenPair:
        """The next pair for a refresh token; a token used twice ends the whole log-in."""
        session_id = self._session_of(token)
        async with self.postgres.transaction() as connection:
            pair = await self._rotate(connection, session_id, token)
        if pair is None:
            self.identities.forget()
            raise Unauthenticated(_SPENT, code="refresh_refused")
        return pair

    async def _rotate(self, connection: Connection, session_id: UUID, token: str) -> TokenPair | None:
        session, moment = await store.locked_session(connection, session_id), now()
        if session is None or session["revoked_at"] is not None or session["expires_at"] <= moment:
            return None
        if not hmac.compare_digest(session["token_hash"], _hash(token)):
            await store.revoke(connection, session_id, moment, "a spent refresh token was used again")
            return None
        refresh_token = self._refresh_token(session_id)
        expires_at = self._expiry(session["created_at"], moment)
        await store.rotate(connection, session_id, _hash(refresh_token), moment, expires_at)
        return self._pair(session, session["user_id"], session_id, refresh_token, moment, expires_at)

    async def logout(self, principal: Principal) -> None:
        """End the caller's log-in."""
        if principal.session_id is not None:
            async with self.postgres.transaction() as connection:
                await store.revoke(connection, principal.session_id, now(), "logout")
            self.identities.forget()

    def _expiry(self, created: datetime, moment: datetime) -> datetime:
        sliding = moment + timedelta(minutes=self.settings.refresh_token_minutes)
        return min(sliding, created + timedelta(hours=self.settings.session_hours))

    def _pair(
        self, user: dict[str, Any], user_id: int, session_id: UUID, token: str, moment: datetime, expires_at: datetime
    ) -> TokenPair:
        principal = Principal(user["role"], user_id, user["school_id"], session_id)
        return TokenPair(
            access_token=self.tokens.issue(principal),
            refresh_token=token,
            expires_in=int(self.tokens.lifetime.total_seconds()),
            refresh_expires_in=int((expires_at - moment).total_seconds()),
        )

    def _refresh_token(self, session_id: UUID) -> str:
        body = f"{session_id.hex}.{secrets.token_urlsafe(32)}"
        return f"{body}.{self._seal(body)}"

    def _seal(self, body: str) -> str:
        return hmac.new(self.secret, b"refresh:" + body.encode(), hashlib.sha256).hexdigest()[:32]

    def _session_of(self, token: str) -> UUID:
        """The log-in of a token that we made; a made-up one cannot end anybody's log-in."""
        body, _, seal = token.rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(body).encode()):
            raise Unauthenticated(_SPENT, code="refresh_refused")
        return UUID(hex=body.partition(".")[0])


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
