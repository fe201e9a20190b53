"""Tokens for scripts and apps: the rights of their maker in some classes of routes, until a day or until he is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from api.auth.revocations import Revocations, end_service_token
from api.auth.schemas import IssuedServiceToken, NewServiceToken, ServiceToken
from api.auth.session_store import shared_user
from api.auth.tokens import Tokens
from api.principal import Principal
from api.sql import written
from core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from core.ids import new_id
from core.postgres import Postgres
from core.telemetry import log

MOST = 50
"""So many may one person have."""

_COLUMNS = "id, name, scopes, created_at, expires_at"
_LIVE = "user_id = %(user_id)s and revoked_at is null and expires_at > clock_timestamp()"
_INSERT = f"""
insert into service_tokens (id, user_id, name, scopes, expires_at)
values (%(id)s, %(user_id)s, %(name)s, %(scopes)s, clock_timestamp() + %(lifetime)s) returning {_COLUMNS}
"""


@dataclass
class ServiceTokens:
    """Service tokens over the record."""

    postgres: Postgres
    tokens: Tokens
    revocations: Revocations

    async def issue(self, principal: Principal, wish: NewServiceToken) -> IssuedServiceToken:
        """A new token of the caller's; raises `Conflict` when he has too many."""
        user_id, lifetime = _person(principal), timedelta(days=wish.days)
        scopes = sorted({str(scope) for scope in wish.scopes})
        values = {"id": new_id(), "user_id": user_id, "name": wish.name, "scopes": scopes, "lifetime": lifetime}
        async with self.postgres.transaction() as connection:
            user = await shared_user(connection, user_id)
            if user is None or user["disabled_at"] or (user["role"], user["school_id"]) != _place(principal):
                raise Unauthenticated("This log-in has ended. Log in again.", code="session_ended")
            row = await written(connection, _INSERT, values)
            live = await written(connection, f"select count(*) as n from service_tokens where {_LIVE}", values)
            if live["n"] > MOST:
                raise Conflict(f"You have {MOST} service tokens. Delete one first.", code="too_many_tokens")
        log.info("service_token_issued", token_id=str(row["id"]), user_id=user_id, scopes=scopes)
        return IssuedServiceToken(**row, token=self._token(principal, row, lifetime))

    def _token(self, maker: Principal, row: dict[str, Any], lifetime: timedelta) -> str:
        service = Principal(
            maker.role, maker.user_id, maker.school_id, token_id=row["id"], scopes=frozenset(row["scopes"])
        )
        return self.tokens.issue(service, lifetime)

    async def list(self, principal: Principal) -> list[ServiceToken]:
        """The caller's own tokens that are still good."""
        query = f"select {_COLUMNS} from service_tokens where {_LIVE} order by created_at"
        return [ServiceToken(**row) for row in await self.postgres.fetch(query, {"user_id": _person(principal)})]

    async def end(self, principal: Principal, token_id: UUID) -> None:
        """End one of the caller's own tokens; raises `NotFound`."""
        values = {"id": token_id, "user_id": _person(principal)}
        async with self.postgres.transaction() as connection:
            found = await connection.execute(f"select 1 from service_tokens where id = %(id)s and {_LIVE}", values)
            if await found.fetchone() is None:
                raise NotFound("You have no such service token.")
            await end_service_token(connection, token_id)
        await self.revocations.announce()


def _person(principal: Principal) -> int:
    if principal.user_id is None:
        raise Forbidden("Only a person makes service tokens.")
    return principal.user_id


def _place(principal: Principal) -> tuple[str, int | None]:
    return principal.role, principal.school_id
