"""A bell between the servers, over Valkey's pub/sub: who hears it looks at the record. It carries no facts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from valkey.asyncio import Valkey
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from core.telemetry import log

CHANNEL = "edu:revocations"
PATIENCE_S = 0.5
"""How long ringing may hold up its caller."""
_AWAY = (ValkeyError, OSError, TimeoutError)


class Bell:
    """Rings and hears; mute without Valkey or while it is away: then the servers find out by their poll."""

    def __init__(self, url: str | None) -> None:
        self._client: Any = None
        self._up = True
        if url is not None:
            self._client = Valkey.from_url(
                url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)
            )

    async def ring(self) -> None:
        """Tell the other servers to look."""
        if self._client is None:
            return
        try:
            await self._client.publish(CHANNEL, b"look")
        except _AWAY:
            self._note(up=False)

    async def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` at every ring, for ever; connects again when Valkey comes back."""
        if self._client is None:
            return
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    self._note(up=True)
                    heard()  # what was rung while we were deaf
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S):
                            heard()
            except _AWAY:
                self._note(up=False)
            await asyncio.sleep(PATIENCE_S)

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.aclose()

    def _note(self, *, up: bool) -> None:
        if up is not self._up:
            log.warning("revocation notices are back" if up else "revocation notices are away; the record is polled")
        self._up = up
