"""Starlette's socket in the form that `realtime` asks for (realtime.connection.Socket)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.framing import framed, writer_of
from realtime.connection import Disconnected

_GONE = (WebSocketDisconnect, RuntimeError, OSError)


class QuizSocket:
    """An accepted socket; frames are sent by the server's own `send`, without the layers that they do not need."""

    __slots__ = ("_send", "_websocket", "_write", "beats")

    def __init__(self, websocket: WebSocket, *, beats: bool) -> None:
        self._websocket = websocket
        self._send = websocket.send
        self._write = writer_of(websocket.scope)
        self.beats = beats

    async def receive(self) -> str:
        """The next message; bytes are read as UTF-8."""
        try:
            message = await self._websocket.receive()
        except _GONE as error:
            raise Disconnected from error
        if message["type"] != "websocket.receive":
            raise Disconnected
        text = message.get("text")
        return str(message["bytes"], errors="replace") if text is None else str(text)

    async def send(self, text: str) -> None:
        """Send a text frame."""
        try:
            await self._send({"type": "websocket.send", "text": text})
        except _GONE as error:
            raise Disconnected from error

    def send_now(self, text: str) -> Awaitable[None] | None:
        """Write the frame as it is, or take the first step of `send`: the only one, unless the peer does not read."""
        if self._write is not None and self._write(framed(text)):
            return None
        sending = self.send(text)
        try:
            waited_for = sending.send(None)
        except StopIteration:
            return None
        return _Rest(sending, waited_for)

    async def close(self, code: int, reason: str) -> None:
        """Close, if it is not closed."""
        with contextlib.suppress(*_GONE):
            await self._websocket.close(code, reason)


class _Rest:
    """What remains of a coroutine that has taken its first step and waits for a future."""

    def __init__(self, begun: Coroutine[Any, Any, None], waited_for: Any) -> None:
        self._begun = begun
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waited_for
        except BaseException as error:
            self._begun.throw(error)
            raise
        yield from self._begun.__await__()
