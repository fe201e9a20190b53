"""Signing keys in the record: the first one at the start, `next` before it signs, `retired` while tokens of it live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, Field

from api.audit.trail import record
from api.auth.key_ring import Sealer, SigningKey
from api.auth.tokens import Tokens
from api.principal import Principal
from core.errors import Conflict
from core.postgres import Connection, Postgres
from core.telemetry import log

PUBLISHED_SECONDS = 10
"""So long `next` must have been known before it signs: every server looks at least every two seconds."""

# Longer than an access token can live (EDU_ACCESS_TOKEN_MINUTES is at most 60).
_FRESH = "(state <> 'retired' or retired_at > clock_timestamp() - interval '2 hours')"
_KEYS = f"select kid, sealed, state, created_at, retired_at from signing_keys where {_FRESH} order by created_at"
_LOCK = "select pg_advisory_xact_lock(hashtext('eduanalytics signing keys'))"
_INSERT = "insert into signing_keys (kid, public, sealed, state) values (%(kid)s, %(public)s, %(sealed)s, %(state)s)"
_RETIRE = "update signing_keys set state = 'retired', retired_at = clock_timestamp() where state = %(state)s"
_PROMOTE = "update signing_keys set state = 'current' where state = 'next'"
_FORGET = f"delete from signing_keys where not {_FRESH}"
_YOUNG = """
select 1 from signing_keys where state = 'next' and created_at > clock_timestamp() - make_interval(secs => %(seconds)s)
"""


class KeyStatus(BaseModel):
    """A signing key without its secret part."""

    kid: str
    state: str = Field(description="current: signs; next: signs after the next rotation; retired: still verifies.")
    created_at: datetime
    retired_at: datetime | None


@dataclass
class Keys:
    """The shared keys; `tokens` holds those that this server knows."""

    postgres: Postgres
    tokens: Tokens
    sealer: Sealer
    readable: bool = True

    async def ensure(self) -> None:
        """Make what is missing, and load; of two servers that start at once, one makes and the other takes."""
        async with self.postgres.transaction() as connection:
            await connection.execute(_LOCK)
            known = {key.state for key in self._opened(await _rows(connection))}
            for state in ("current", "next"):
                if state not in known:
                    await connection.execute(_RETIRE, {"state": state})
                    await self._insert(connection, state)
        await self.load()

    async def load(self) -> None:
        """See the rotations of other servers."""
        async with self.postgres.transaction() as connection:
            rows = await _rows(connection)
        opened = self._opened(rows)
        readable = any(key.state == "current" for key in opened)
        if self.readable and not readable:
            log.error("signing_key_not_readable", hint="Do all servers have the same EDU_SECRET_KEY?")
        self.readable = readable
        self.tokens.take_keys(opened)

    async def rotate(self, principal: Principal | None = None) -> list[KeyStatus]:
        """`next` signs from now on; raises `Conflict` while some server may not know it yet."""
        async with self.postgres.transaction() as connection:
            await connection.execute(_LOCK)
            young = await connection.execute(_YOUNG, {"seconds": PUBLISHED_SECONDS})
            if await young.fetchone():
                raise Conflict(
                    f"The next key is younger than {PUBLISHED_SECONDS} seconds; wait for all servers to see it.",
                    code="too_soon",
                )
            await connection.execute(_RETIRE, {"state": "current"})
            await connection.execute(_PROMOTE)
            await self._insert(connection, "next")
            await connection.execute(_FORGET)
            await record(connection, principal, "keys.rotated")
        await self.load()
        log.warning("signing_keys_rotated", kid=self.tokens.keys.current.kid)
        return await self.statuses()

    async def statuses(self) -> list[KeyStatus]:
        """Every key that still counts."""
        return [KeyStatus(**row) for row in await self.postgres.fetch(_KEYS)]

    async def _insert(self, connection: Connection, state: str) -> None:
        key = SigningKey(Ed25519PrivateKey.generate(), state)
        public = key.public.public_bytes_raw()
        values = {"kid": key.kid, "public": public, "sealed": key.sealed(self.sealer), "state": state}
        await connection.execute(_INSERT, values)

    def _opened(self, rows: list[dict[str, Any]]) -> list[SigningKey]:
        """Those that our secret opens: nobody who can only write to the database makes a key."""
        found = (SigningKey.opened(self.sealer, row["kid"], row["sealed"], row["state"]) for row in rows)
        return [key for key in found if key is not None]


async def _rows(connection: Connection) -> list[dict[str, Any]]:
    return await (await connection.execute(_KEYS)).fetchall()
