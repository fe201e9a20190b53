"""Every request body is checked before a route sees it: its size, its JSON, its depth, its characters."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, TypeAlias

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.encodings import ENCODINGS, Unpacker, unpacker
from api.envelope import failure
from core.errors import BadInput, EduError, TooLarge, TooSlow, WrongMedia

MAX_DEPTH = 64
NDJSON = b"application/x-ndjson"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_Headers: TypeAlias = dict[bytes, bytes]


class BodyGuard:
    """Reads the body once, unpacked and within the limit, refuses what is not clean JSON, and hands it on.

    `own`: paths of routes that judge their JSON themselves, item by item; they also get NDJSON piece by piece."""

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        seconds: float = 30,
        own: Collection[str] = (),
        max_stream_bytes: int = 1_000_000_000,
    ) -> None:
        self.app = app
        self.seconds = seconds
        self.max_bytes = max_bytes
        self.own = frozenset(own)
        self.max_stream_bytes = max_stream_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on; a refused request never reaches the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        kind, own = headers.get(b"content-type", b""), scope["path"] in self.own
        try:
            unpack = unpacker(headers.get(b"content-encoding", b""))
            if own and kind.startswith(NDJSON):
                inner = self._streamed(receive, unpack)
            else:
                body = await self._read_in_time(headers, receive, unpack)
                if body is not None and b"json" in kind and not own:
                    check_json(body)
                inner = receive if body is None else _replay(body, receive)
        except EduError as error:
            answer = failure(scope["path"], error.status, str(error), error.code, error.details)
            answer.headers["connection"] = "close"
            if isinstance(error, WrongMedia):
                answer.headers["accept-encoding"] = ", ".join(ENCODINGS)
            await answer(scope, receive, send)
            return
        await self.app(scope, inner, send)

    async def _read_in_time(self, headers: _Headers, receive: Receive, unpack: Unpacker) -> bytes | None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.max_bytes:
            raise self._too_large(self.max_bytes)
        if not length and b"transfer-encoding" not in headers:
            return None
        try:
            async with asyncio.timeout(self.seconds):
                return await self._read(receive, unpack)
        except TimeoutError:
            raise TooSlow(f"The body did not come within {self.seconds:g} s.") from None

    async def _read(self, receive: Receive, unpack: Unpacker) -> bytes:
        parts: list[bytes] = []
        came = size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            piece = message.get("body", b"")
            came += len(piece)
            for part in unpack.pieces(piece):
                parts.append(part)
                size += len(part)
                if max(came, size) > self.max_bytes:
                    raise self._too_large(self.max_bytes)
            if not message.get("more_body", False):
                if came:
                    unpack.finish()
                return b"".join(parts)

    def _streamed(self, receive: Receive, unpack: Unpacker) -> Receive:
        """Hands on piece by piece; its errors are raised where the route reads."""
        size = 0
        pieces: Iterator[bytes] = iter(())
        last = False

        async def next_piece() -> Message:
            nonlocal size, pieces, last
            while True:
                for part in pieces:
                    size += len(part)
                    if size > self.max_stream_bytes:
                        raise self._too_large(self.max_stream_bytes)
                    return {"type": "http.request", "body": part, "more_body": True}
                if last:
                    unpack.finish()
                    return {"type": "http.request", "body": b"", "more_body": False}
                message = await self._next(receive)
                if message["type"] == "http.disconnect":
                    return message
                pieces, last = unpack.pieces(message.get("body", b"")), not message.get("more_body", False)

        return next_piece

    async def _next(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self.seconds):
                return await receive()
        except TimeoutError:
            raise TooSlow(f"Nothing came for {self.seconds:g} s.") from None

    def _too_large(self, limit: int) -> TooLarge:
        return TooLarge(f"The body is larger than {limit / 1_000_000:g} MB.", max_bytes=limit)


def read_json(body: bytes, name: str = "The body") -> Any:
    """The value of a body or of another piece, if it is clean JSON; a whole number of any size stays one."""
    check_json(body, name)
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadInput(f"{name} is not JSON: {error}.", code="invalid_json") from None


def check_json(body: bytes, name: str = "The body") -> None:
    """Refuse what is no JSON, has NaN or a lone surrogate, a NUL character, or nests more than 64 deep."""
    if not body:
        return
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", code="invalid_json"
        ) from None
    if _NUL.search(body):
        raise BadInput("The JSON holds a NUL character.", code="invalid_text")


def _check_depth(body: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadInput(f"The JSON nests deeper than {MAX_DEPTH} levels.", code="too_deep")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
