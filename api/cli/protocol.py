"""HTTP/1.1 with a bound on the head: uvicorn's parser waits for ever, and keeps all headers that come.

Head and body of an answer leave in one piece: each write is a call of the system, and wakes the client up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.bounds import MAX_ADDRESS, MAX_HEADER_BYTES
from api.envelope import failure
from api.middleware import STANDING_HEADERS

_MAX_HEAD = 2 * (MAX_ADDRESS + MAX_HEADER_BYTES)
"""Beyond what `api/bounds.py` refuses with its own code, so that its answer is the usual one."""


_MOST_GATHERED = 64 * 1024


class _Gathering:
    """A transport that sends what is written in one turn of the loop at its end, or when it becomes much."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _MOST_GATHERED:
            self._send()

    def close(self) -> None:
        self._send()
        self.transport.close()

    def _send(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class HeadGuard(HttpToolsProtocol):
    """Ends a connection whose head is too slow (408) or too long (431)."""

    patience = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head must come from now on."""
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._waiting: asyncio.TimerHandle | None = None
        self._head = 0
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head."""
        super().data_received(data)
        if self._waiting is not None:
            self._head += len(data)
            if self._head > _MAX_HEAD:
                self._refuse(431, "headers_too_large", "The headers are too large.")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._waiting is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_came()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket writes whole frames: it gets the transport itself."""
        if isinstance(self.transport, _Gathering):
            self.transport = self.transport.transport
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the shape of all errors."""
        self._refuse(400, "bad_input", msg)

    def _expect_head(self) -> None:
        self._head = 0
        self._waiting = self.loop.call_later(self.patience, self._too_slow)

    def _head_came(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        if self._head:
            self._refuse(408, "too_slow", "The headers did not come in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._head_came()
        if self.transport.is_closing():
            return
        answer = failure("", status, message, code, headers={"connection": "close", **STANDING_HEADERS})
        lines = [STATUS_LINE[status], *(name + b": " + value + b"\r\n" for name, value in answer.raw_headers), b"\r\n"]
        self.transport.write(b"".join([*lines, bytes(answer.body)]))
        self.transport.close()


def head_guard(seconds: float) -> Any:
    """The protocol for uvicorn, with this patience."""
    return type("HeadGuard", (HeadGuard,), {"patience": seconds})
