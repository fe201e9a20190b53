"""Notices over Valkey's (or Redis') pub/sub; while it is away the hubs' poll of Postgres does the work."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from valkey.asyncio import Valkey
from valkey.asyncio.client import PubSub
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from core.telemetry import log
from realtime.broker import AnyNotice, Deliver

CHANNEL = "edu:live"
PATIENCE_S = 0.5
"""How long a publication may hold up its caller."""

_decoder: msgspec.json.Decoder[AnyNotice] = msgspec.json.Decoder(AnyNotice)


class ValkeyBroker:
    """One node's end of the channel: reconnects for ever, drops what cannot be sent."""

    def __init__(self, url: str) -> None:
        self._client: Any = Valkey.from_url(
            url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)
        )
        self._listener: asyncio.Task[None] | None = None
        self.up = True

    async def start(self, deliver: Deliver) -> None:
        """Listen in the background."""
        self._listener = asyncio.create_task(self._listen(deliver))

    async def publish(self, notice: AnyNotice) -> None:
        """Send, or let it go when Valkey does not take it in time."""
        if self._listener is None:
            return
        try:
            await self._client.publish(CHANNEL, msgspec.json.encode(notice))
        except (ValkeyError, OSError, TimeoutError):
            self._note(up=False)

    async def stop(self, deliver: Deliver) -> None:  # noqa: ARG002 - one receiver per node
        """Hang up."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None
        await self._client.aclose()

    async def _listen(self, deliver: Deliver) -> None:
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    self._note(up=True)
                    await self._pass_on(channel, deliver)
            except (ValkeyError, OSError, TimeoutError):
                self._note(up=False)
            await asyncio.sleep(PATIENCE_S)

    async def _pass_on(self, channel: PubSub, deliver: Deliver) -> None:
        while True:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)
            if message is not None:
                self._deliver(message["data"], deliver)

    def _deliver(self, data: bytes, deliver: Deliver) -> None:
        try:
            notice = _decoder.decode(data)
        except msgspec.DecodeError:
            log.warning("live notice of another version ignored")
            return
        deliver(notice)

    def _note(self, *, up: bool) -> None:
        if up is not self.up:
            log.warning("live broker is back" if up else "live broker is away; the log is polled instead")
        self.up = up
