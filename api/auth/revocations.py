"""What ended before its tokens did: written to the record, known by every server, asked in memory.

end_… (in the transaction of what ends it) → revocations → announce: look ourselves, ring the bell → the others look.
Without the bell they look within two seconds.  No request reads the record for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from api.auth.notices import Bell
from api.principal import Principal
from core.clock import now
from core.errors import Unauthenticated, Unavailable
from core.postgres import Connection, Postgres
from core.telemetry import log

STALE_SECONDS = 300.0
"""A server that has not seen the record for so long refuses the tokens of people (those of log-ins have expired)."""

# A new server reads everything; then the rows of transactions which the last snapshot did not see.
_NEW = """
select pg_snapshot_xmin(s)::text as horizon, r.kind, r.subject, r.at, r.keep_until
from pg_current_snapshot() s
left join revocations r on r.xid >= %(horizon)s::text::xid8 and r.keep_until > clock_timestamp()
"""
# Two hours outlive every access token of a log-in (EDU_ACCESS_TOKEN_MINUTES is at most 60).
_END_SESSIONS = """
with ended as (
    update login_sessions set revoked_at = clock_timestamp(), revoked_reason = %(reason)s
    where revoked_at is null and expires_at > clock_timestamp() - interval '2 hours'
      and (id = %(session_id)s::uuid or user_id = %(user_id)s::bigint) and id is distinct from %(but)s::uuid
    returning id)
insert into revocations (kind, subject, keep_until)
select 'session', id::text, clock_timestamp() + interval '2 hours' from ended returning subject
"""
_END_TOKENS = """
with ended as (
    update service_tokens set revoked_at = clock_timestamp()
    where revoked_at is null and (id = %(token_id)s::uuid or user_id = %(user_id)s::bigint)
    returning id, expires_at)
insert into revocations (kind, subject, keep_until)
select 'token', id::text, expires_at + interval '2 hours' from ended returning subject
"""
# The command line makes tokens of a year at the most.
_END_OTHERS = """
insert into revocations (kind, subject, keep_until)
values ('user', %(user_id)s::text, clock_timestamp() + interval '367 days')
"""
_TIDY = "delete from revocations where keep_until < clock_timestamp() - interval '1 day'"


async def end_session(connection: Connection, session_id: UUID, reason: str) -> None:
    """End one log-in."""
    values = {"session_id": session_id, "user_id": None, "but": None, "reason": reason}
    await connection.execute(_END_SESSIONS, values)
    log.info("session_ended", session_id=str(session_id), reason=reason)


async def end_sessions(connection: Connection, user_id: int, reason: str, but: UUID | None = None) -> int:
    """End every log-in of a user, or every other one; how many there were."""
    values = {"session_id": None, "user_id": user_id, "but": but, "reason": reason}
    ended = (await connection.execute(_END_SESSIONS, values)).rowcount
    log.info("sessions_ended", user_id=user_id, count=ended, reason=reason)
    return ended


async def end_service_token(connection: Connection, token_id: UUID) -> None:
    """End one service token."""
    await connection.execute(_END_TOKENS, {"token_id": token_id, "user_id": None})


async def end_user(connection: Connection, user_id: int, reason: str) -> int:
    """End all that a user holds: he is gone, disabled, or has another role or school; how many log-ins there were."""
    ended = await end_sessions(connection, user_id, reason)
    await connection.execute(_END_TOKENS, {"token_id": None, "user_id": user_id})
    await connection.execute(_END_OTHERS, {"user_id": user_id})
    return ended


class Revocations:
    """This server's knowledge of what has ended."""

    def __init__(self, postgres: Postgres, bell: Bell) -> None:
        self._postgres = postgres
        self._bell = bell
        self._horizon = "0"
        self._ended: dict[UUID, datetime] = {}
        self._users: dict[int, tuple[datetime, datetime]] = {}
        self._looking = asyncio.Lock()
        self._seen = time.monotonic()
        self.listeners: list[Callable[[Callable[[Principal], bool]], None]] = []
        """Called with `ends` after every look: whoever keeps a caller connected lets him go."""

    def ends(self, principal: Principal) -> bool:
        """Whether what the token stands for has ended."""
        identifier = principal.session_id or principal.token_id
        if identifier is not None:
            return identifier in self._ended
        found = self._users.get(principal.user_id) if principal.user_id is not None else None
        return found is not None and (principal.issued_at is None or principal.issued_at <= found[0])

    def check(self, principal: Principal) -> None:
        """Raises `Unauthenticated`, or `Unavailable` where nobody knows any more."""
        if self.ends(principal):
            raise Unauthenticated("This log-in has ended. Log in again.", code="session_ended")
        if principal.user_id is not None and time.monotonic() - self._seen > STALE_SECONDS:
            raise Unavailable("Postgres has been away for long; nobody knows whether this log-in still holds.")

    async def look(self) -> None:
        """Read what is new; raises `Unavailable`."""
        async with self._looking:
            started = time.monotonic()
            rows = await self._postgres.fetch(_NEW, {"horizon": self._horizon})
            for row in rows:
                self._take(row["kind"], row["subject"], row["at"], row["keep_until"])
            self._horizon, self._seen = rows[0]["horizon"], started
        for listener in self.listeners:
            listener(self.ends)

    def _take(self, kind: str | None, subject: str, at: datetime, keep_until: datetime) -> None:
        if kind == "user":
            known = self._users.get(int(subject), (at, keep_until))
            self._users[int(subject)] = max(known, (at, keep_until))
        elif kind is not None:
            self._ended[UUID(subject)] = keep_until

    async def announce(self) -> None:
        """After the commit: known here now, and elsewhere in a moment."""
        try:
            await self.look()
        except Unavailable:
            log.warning("revocations_not_read")
        await self._bell.ring()

    async def tidy(self) -> None:
        """Forget, here and in the record, what ended so long ago that its tokens have expired."""
        await self._postgres.fetch(_TIDY)
        moment = now()
        self._ended = {key: until for key, until in self._ended.items() if until > moment}
        self._users = {key: pair for key, pair in self._users.items() if pair[1] > moment}
