"""Every request body is checked before a route sees it: its size, its JSON, its depth, its characters."""

from __future__ import annotations

import asyncio
import re
from typing import TypeAlias

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.envelope import failure
from core.errors import BadInput, EduError, TooLarge, TooSlow

MAX_DEPTH = 64
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_Headers: TypeAlias = dict[bytes, bytes]


class BodyGuard:
    """Reads the body once, within the limit, refuses what is not clean JSON, and hands it on."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float = 30) -> None:
        self.app = app
        self.seconds = seconds
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on; a refused request never reaches the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read_in_time(scope, receive)
            if body is not None and b"json" in _headers(scope).get(b"content-type", b""):
                check_json(body)
        except EduError as error:
            answer = failure(scope["path"], error.status, str(error), error.code, error.details)
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)
            return
        await self.app(scope, receive if body is None else _replay(body, receive), send)

    async def _read_in_time(self, scope: Scope, receive: Receive) -> bytes | None:
        try:
            async with asyncio.timeout(self.seconds):
                return await self._read(scope, receive)
        except TimeoutError:
            raise TooSlow(f"The body did not come within {self.seconds:g} s.") from None

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        headers = _headers(scope)
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.max_bytes:
            raise self._too_large()
        if not length and b"transfer-encoding" not in headers:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self.max_bytes / 1_000_000:g} MB.", max_bytes=self.max_bytes)


def check_json(body: bytes) -> None:
    """Refuse what is no JSON, has NaN or a lone surrogate, a NUL character, or nests more than 64 deep."""
    if not body:
        return
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", code="invalid_json"
        ) from None
    if _NUL.search(body):
        raise BadInput("The JSON holds a NUL character.", code="invalid_text")


def _check_depth(body: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadInput(f"The JSON nests deeper than {MAX_DEPTH} levels.", code="too_deep")


def _headers(scope: Scope) -> _Headers:
    return dict(scope["headers"])


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
