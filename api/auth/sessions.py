"""Log-ins: opened, refreshed, listed, ended.

A refresh token works once.  Its successor is derived from it with the installation's secret, so that a client whose
answer was lost gets the same one again for a few seconds; any older token ends the log-in, for somebody else has it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from api.auth import session_store as store
from api.auth.key_ring import derive
from api.auth.revocations import Revocations, end_session, end_sessions, end_user
from api.auth.schemas import Session, TokenPair
from api.auth.tokens import Tokens
from api.principal import Principal
from core.errors import Forbidden, NotFound, Unauthenticated
from core.ids import new_id
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log

_SPENT = "The refresh token is not good any more. Log in again."
_CLIENT_LENGTH = 300


@dataclass
class Sessions:
    """Log-ins over the record."""

    settings: Settings
    postgres: Postgres
    tokens: Tokens
    revocations: Revocations
    secret: bytes

    async def open(
        self, connection: Connection, user_id: int, client: str | None = None, method: str = "password"
    ) -> TokenPair:
        """A new log-in; raises `Unauthenticated` when the user has just gone, `Forbidden` when he is disabled."""
        user = await store.shared_user(connection, user_id)
        if user is None:
            raise Unauthenticated("This account is not here any more.", code="bad_credentials")
        if user["disabled_at"] is not None:
            raise Forbidden("This account is disabled. Ask an admin of your school.", code="account_disabled")
        session_id = new_id()
        token = self._sealed(f"{session_id.hex}.{secrets.token_urlsafe(32)}")
        values = {"id": session_id, "user_id": user_id, "client": _printable(client), "method": method}
        row = await store.open_session(connection, token_hash=_hash(token), **values, **self._limits)
        return self._pair(user, session_id, token, row["seconds"])

    async def refresh(self, token: str) -> TokenPair:
        """The next pair for a refresh token; a token of an earlier generation ends the whole log-in."""
        session_id = self._session_of(token)
        async with self.postgres.transaction() as connection:
            pair = await self._rotate(connection, session_id, token)
        if pair is None:
            await self.revocations.announce()
            raise _refused()
        return pair

    async def _rotate(self, connection: Connection, session_id: UUID, token: str) -> TokenPair | None:
        grace = timedelta(seconds=self.settings.refresh_grace_seconds)
        session = await store.locked_session(connection, id=session_id, grace=grace)
        if session is None or not session["good"]:
            return None
        given, successor = _hash(token), self._successor(session_id, token)
        if hmac.compare_digest(session["token_hash"], given):
            row = await store.rotate(connection, id=session_id, token_hash=_hash(successor), **self._limits)
            return self._pair(session, session_id, successor, row["seconds"])
        if session["just_rotated"] and session["previous_hash"] == given:
            return self._pair(session, session_id, successor, session["seconds"])
        log.warning("refresh_token_used_again", session_id=str(session_id), user_id=session["user_id"])
        await end_session(connection, session_id, "a spent refresh token was used again")
        return None

    async def list(self, principal: Principal) -> list[Session]:
        """The caller's own log-ins."""
        rows = await store.open_sessions(self.postgres, _person(principal))
        return [Session(**row, current=row["id"] == principal.session_id) for row in rows]

    async def end(self, principal: Principal, session_id: UUID) -> None:
        """End one of the caller's own log-ins; raises `NotFound`."""
        async with self.postgres.transaction() as connection:
            if not await store.is_own(connection, session_id, _person(principal)):
                raise NotFound("You have no such log-in.")
            await end_session(connection, session_id, "ended by its owner")
        await self.revocations.announce()

    async def logout(self, principal: Principal) -> None:
        """End the caller's log-in."""
        if principal.session_id is not None:
            async with self.postgres.transaction() as connection:
                await end_session(connection, principal.session_id, "logout")
            await self.revocations.announce()

    async def logout_all(self, principal: Principal) -> int:
        """End every log-in of the caller, this one too; how many there were."""
        async with self.postgres.transaction() as connection:
            ended = await end_sessions(connection, _person(principal), "logout everywhere")
        await self.revocations.announce()
        return ended

    async def end_all_of(self, user_id: int, reason: str) -> int:
        """End all that a user holds, service tokens too; how many log-ins there were."""
        async with self.postgres.transaction() as connection:
            ended = await end_user(connection, user_id, reason)
        await self.revocations.announce()
        return ended

    @property
    def _limits(self) -> dict[str, timedelta]:
        return {
            "sliding": timedelta(minutes=self.settings.refresh_token_minutes),
            "absolute": timedelta(hours=self.settings.session_hours),
        }

    def _pair(self, user: dict[str, Any], session_id: UUID, token: str, seconds: int) -> TokenPair:
        return TokenPair(
            access_token=self.tokens.issue(Principal(user["role"], user["user_id"], user["school_id"], session_id)),
            refresh_token=token,
            expires_in=int(self.tokens.lifetime.total_seconds()),
            refresh_expires_in=seconds,
        )

    def _successor(self, session_id: UUID, token: str) -> str:
        mac = hmac.new(derive(self.secret, "eduanalytics refresh tokens"), token.encode(), hashlib.sha256).digest()
        return self._sealed(f"{session_id.hex}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")

    def _sealed(self, body: str) -> str:
        mac = hmac.new(self.secret, b"refresh:" + body.encode(), hashlib.sha256).hexdigest()
        return f"{body}.{mac[:32]}"

    def _session_of(self, token: str) -> UUID:
        """The log-in of a token that we made; a made-up one cannot end anybody's log-in."""
        body = token.rpartition(".")[0]
        if not hmac.compare_digest(token.encode(), self._sealed(body).encode()):
            raise _refused()
        return UUID(hex=body.partition(".")[0])


def _person(principal: Principal) -> int:
    if principal.user_id is None:
        raise NotFound("This token belongs to a service, which has no log-ins.")
    return principal.user_id


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _printable(client: str | None) -> str | None:
    return "".join(char for char in client or "" if char.isprintable())[:_CLIENT_LENGTH] or None


def _refused() -> Unauthenticated:
    return Unauthenticated(_SPENT, code="refresh_refused")
