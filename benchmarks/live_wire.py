"""A load client for WebSockets that costs little: one asyncio protocol for each socket, text frames only."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from typing import Any, cast
from urllib.parse import urlsplit

_PING = b'{"event":"ping"'
_MASK = b"\x00\x00\x00\x00"  # a mask of zeros is a mask


class Wire(asyncio.Protocol):
    """One socket; `wait` for a frame of an event before it can come. A lost connection fails whoever waits."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._data = b""
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: list[tuple[bytes, asyncio.Future[float]]] = []
        self._closed = "connection lost"

    @classmethod
    async def connect(cls, url: str) -> Wire:
        """An open socket."""
        wire = cls(url)
        await asyncio.get_running_loop().create_connection(lambda: wire, wire.host, wire.port)
        await wire.opened
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take frames apart."""
        self._data = self._data + data if self._data else data
        if not self._is_open:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.opened.set_exception(ConnectionError(head.decode()))
                return
            self._data, self._is_open = rest, True
            self.opened.set_result(None)
        while (frame := self._take()) is not None:
            opcode, payload = frame
            if payload.startswith(_PING):
                self.send(payload.decode().replace("ping", "pong"))
            elif opcode == 1:
                self._heard(payload)
            elif opcode == 8:
                self._closed = f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}"
            elif opcode == 9:
                self._write(0x8A, payload)

    def connection_lost(self, _: Exception | None) -> None:
        """Nothing comes any more."""
        lost = ConnectionError(self._closed)
        everybody: list[asyncio.Future[Any]] = [self.opened, *(done for _, done in self._waiting)]
        for waiting in everybody:
            if not waiting.done():
                waiting.set_exception(lost)
        self._transport = None

    def wait(self, event: bytes) -> asyncio.Future[float]:
        """When (`time.perf_counter`) the next frame of this event comes; raises ConnectionError."""
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((b'"%b"' % event, done))
        if self._transport is None:
            done.set_exception(ConnectionError(self._closed))
        return done

    def _heard(self, text: bytes) -> None:
        if not self._waiting:
            return
        head, moment, still = text[:40], time.perf_counter(), []
        for event, done in self._waiting:
            if done.done():
                continue
            if event in head:
                done.set_result(moment)
            else:
                still.append((event, done))
        self._waiting = still

    def _take(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        length, start = data[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + length or (start > 2 and len(data) < start):
            return None
        self._data = data[start + length :]
        return data[0] & 0x0F, data[start : start + length]

    def send(self, text: str) -> None:
        """Send a text frame."""
        self._write(0x81, text.encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([opcode, 0x80 | size]) if size < 126 else bytes([opcode, 0xFE]) + size.to_bytes(2, "big")
        if self._transport is not None:
            self._transport.write(head + _MASK + payload)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()
