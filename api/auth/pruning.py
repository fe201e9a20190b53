"""What nobody needs any more goes from the record: an hour after the start, then every hour.

Ended log-ins and invitations stay for thirty days, so that people can be told what became of them; dead letters as
long as the settings say. Revocations are tidied by `watch.py`, which holds them in memory too.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from core.errors import Unavailable
from core.postgres import Postgres
from core.telemetry import log
from ingestion import letters

EVERY_SECONDS = 3600.0
# In this order: a letter points to its invitation. Tokens of mails are counted for an hour after they were made.
_SPENT = {
    "letters": "expires_at < now()",
    "mail_tokens": "expires_at < now() and created_at < now() - interval '1 day'",
    "invitations": """expires_at < now() - interval '30 days'
        and not exists (select 1 from letters l where l.invitation_id = invitations.id)""",
    "login_sessions": "least(revoked_at, expires_at) < now() - interval '30 days'",
}


class Pruning:
    """Deletes again and again; several servers may do it at once."""

    def __init__(self, postgres: Postgres, letter_days: int = 90) -> None:
        self._postgres = postgres
        self._letters_kept = timedelta(days=letter_days)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)
                return
            try:
                await self.prune()
            except Unavailable:
                log.warning("not_pruned")

    async def prune(self) -> dict[str, int]:
        """Delete what is spent; how many rows of each table."""
        counts = {}
        async with self._postgres.transaction() as connection:
            for table, spent in _SPENT.items():
                counts[table] = (await connection.execute(f"delete from {table} where {spent}")).rowcount
        counts["dead_letters"] = await letters.prune(self._postgres, self._letters_kept)
        log.info("pruned", **counts)
        return counts
