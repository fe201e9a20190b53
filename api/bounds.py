"""What a request's head may hold, and how long its answer may take to begin; refused before any route sees it."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.envelope import failure
from core.errors import AddressTooLong, BadInput, EduError, HeadersTooLarge, StoreTimeout
from core.settings import Settings

MAX_ADDRESS = 16 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_PARAMETERS = 100


class Bounds:
    """Checks the head, and ends a request whose answer does not begin in time."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = [host.lower() for host in settings.allowed_hosts]
        self.seconds = settings.request_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except EduError as error:
            await _refuse(error, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._in_time(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        address, headers = scope.get("raw_path") or scope["path"].encode(), scope["headers"]
        query = scope.get("query_string", b"")
        if len(address) + len(query) > MAX_ADDRESS:
            raise AddressTooLong(f"The address is longer than {MAX_ADDRESS} bytes.")
        if len(headers) > MAX_HEADERS:
            raise HeadersTooLarge(f"There are more than {MAX_HEADERS} headers.")
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(f"The headers are larger than {MAX_HEADER_BYTES} bytes.")
        if query.count(b"&") >= MAX_PARAMETERS:
            raise BadInput(f"The address has more than {MAX_PARAMETERS} parameters.", code="too_many_parameters")
        if b"%00" in query or "\x00" in scope["path"]:
            raise BadInput("The address holds a NUL character.", code="invalid_text")
        if self.hosts and not self._answers_to(dict(headers).get(b"host", b"").decode("latin-1")):
            raise BadInput("There is no such host here.", code="unknown_host")

    def _answers_to(self, host: str) -> bool:
        name = host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host.lower()
        return any(fnmatchcase(name, known) for known in self.hosts)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def begin(message: Message) -> None:
            nonlocal begun
            begun = True
            patience.reschedule(None)
            await send(message)

        async def more() -> Message:
            message = await receive()
            if message.get("more_body") and not begun:  # a long stream that still comes is no slow answer
                patience.reschedule(asyncio.get_running_loop().time() + self.seconds)
            return message

        try:
            async with asyncio.timeout(self.seconds) as patience:
                await self.app(scope, more, begin)
        except TimeoutError:
            if begun or not patience.expired():
                raise
            await _refuse(StoreTimeout(f"No answer within {self.seconds:g} s."), scope, receive, send)


async def _refuse(error: EduError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    answer = failure(scope["path"], error.status, str(error), error.code, error.details)
    answer.headers["connection"] = "close"
    await answer(scope, receive, send)
