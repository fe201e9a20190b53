"""One socket: its reader, its writer, its heartbeat and its end. The web framework's socket is handed in."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from core.clock import now
from core.errors import EduError, InvalidField, NotFound, TooMany, Unauthenticated, Unavailable
from core.telemetry import log
from realtime.outbox import Outbox
from realtime.pacing import Limits, TokenBucket
from realtime.protocol import (
    HEARTBEAT,
    ClientMessage,
    Close,
    Correlation,
    Error,
    Join,
    Ping,
    decode_client,
    decode_join,
    encode,
)
from realtime.protocol.words import comes_back
from realtime.roster import Principal, Role, Seat
from realtime.roundtrips import RoundTrips


class Disconnected(Exception):
    """The other side is gone; no fault, people close their browsers."""


class Socket(Protocol):
    """An accepted WebSocket; all but close raise `Disconnected` when the other side is gone."""

    @property
    def beats(self) -> bool:
        """Whether the client speaks our version by name, heartbeat included; the design's own clients do not."""
        ...

    async def receive(self) -> str:
        """The next message."""
        ...

    async def send(self, text: str) -> None:
        """Send a text frame; waits while the peer does not read."""
        ...

    def send_now(self, text: str) -> Awaitable[None] | None:
        """Send a text frame at once, or give what is to be awaited while the peer does not read."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close; never raises."""
        ...


class Connection:
    """A person's socket in a room. `offer` never waits: what does not fit into the outbox ends the connection."""

    def __init__(self, socket: Socket, limits: Limits, principal: Principal, seat: Seat) -> None:
        self.seat, self.principal = seat, principal
        self.trips = RoundTrips()
        self._socket = socket
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(limits.queue_frames, limits.queue_bytes)
        self._bucket = TokenBucket(limits.frames_per_s, limits.frames_burst, self._loop.time())
        self._heard = self._loop.time()
        self._ended: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._expiry: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._gone = False
        self.renew(principal, seat)

    @property
    def teaches(self) -> bool:
        """Whether the person may command the room."""
        return self.seat.role is Role.TEACHER

    @property
    def stays_away(self) -> bool:
        """Whether the person has left on purpose, or was told to stay away."""
        return self._ended.done() and not comes_back(self._ended.result()[0])

    def renew(self, principal: Principal, seat: Seat) -> None:
        """Take a new token: its seat, and its time of expiry."""
        self.seat, self.principal = seat, principal
        if self._expiry is not None:
            self._expiry.cancel()
        if principal.expires_at is not None:
            left = (principal.expires_at - now()).total_seconds() + self._limits.expiry_grace_s
            self._expiry = self._loop.call_later(left, self.end, Close.EXPIRED, "token_expired")

    def offer(self, text: str) -> None:
        """Send a frame that must arrive; it is queued while the peer does not read."""
        if self._is_idle:
            self._send_now(text)
        elif not self._outbox.put(text):
            self.end(Close.SLOW, "slow")

    def offer_state(self, kind: str, text: str) -> None:
        """Send a state frame, or queue it in place of its predecessor."""
        if self._is_idle:
            self._send_now(text)
        else:
            self._outbox.put_state(kind, text)

    def wake(self, seconds: float, work: Callable[[], object]) -> None:
        """Call `work` later, unless the connection ends first; a newer call replaces an older one."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(seconds, work)

    def end(self, code: int, reason: str) -> None:
        """Hang up soon; the first reason counts."""
        if not self._ended.done():
            self._ended.set_result((code, reason))
            if self._reader is not None and self._reader is not asyncio.current_task():
                self._reader.cancel()

    async def run(self, obey: Callable[[ClientMessage], Awaitable[None]]) -> None:
        """Live until one side hangs up; `obey` gets every frame, one after the other."""
        self._reader = asyncio.current_task()
        self._beat(self._limits.first_pings_s)
        try:
            await self._read(obey)
        except asyncio.CancelledError:
            if not self._ended.done() or self._reader is None:
                raise
            self._reader.uncancel()
        except Disconnected:
            self._gone = True
        except Exception as error:
            log.error("live connection failed", exc_info=error)
            self.end(Close.INTERNAL, "internal")
        finally:
            self._reader = None
            self._stop()

    def _stop(self) -> None:
        for timer in (self._expiry, self._alarm, self._pulse):
            if timer is not None:
                timer.cancel()
        if self._writer is not None:
            self._writer.cancel()

    async def hang_up(self) -> None:
        """Close the socket, after `run`; who does not read has a while to see why."""
        if not self._ended.done() or self._gone:
            return
        code, reason = self._ended.result()
        with contextlib.suppress(TimeoutError, Disconnected):
            async with asyncio.timeout(self._limits.close_s):
                while code == Close.BYE and (text := self._outbox.next_log()) is not None:
                    await self._socket.send(text)
                await self._socket.close(code, reason)

    @property
    def _is_idle(self) -> bool:
        """Nothing waits to be sent."""
        return self._writer is None and not self._gone

    def _send_now(self, text: str) -> None:
        """Write at once where the peer reads, else go on in the background."""
        try:
            rest = self._socket.send_now(text)
        except Disconnected:
            self._lose()
            return
        if rest is not None:
            self._writer = asyncio.create_task(self._write(rest))
            self._writer.add_done_callback(self._wrote)

    async def _write(self, rest: Awaitable[None]) -> None:
        with contextlib.suppress(Disconnected):
            await rest
            while (text := self._outbox.next()) is not None:
                await self._socket.send(text)
            return
        self._lose()

    def _wrote(self, task: asyncio.Task[None]) -> None:
        self._writer = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("live connection failed", exc_info=error)
            self.end(Close.INTERNAL, "internal")
        while self._is_idle and (text := self._outbox.next()) is not None:  # it came after the writer's last look
            self._send_now(text)

    def _lose(self) -> None:
        """The other side is gone."""
        self._gone = True
        self.end(Close.INTERNAL, "gone")

    def _beat(self, first: tuple[float, ...] = ()) -> None:
        """Ping a few times at the beginning, to know the way, and then at the pace of the heartbeat."""
        if first:
            pause = min(first[0], self._limits.ping_s)
            self._pulse = self._loop.call_later(pause, self._ping_and, first[1:])
        else:
            self._pulse = self._loop.call_later(self._limits.ping_s, self._expect)

    def _ping_and(self, first: tuple[float, ...]) -> None:
        self._ping()
        self._beat(first)

    def _expect(self) -> None:
        self._ping()
        self._pulse = self._loop.call_later(self._limits.pong_s, self._check, self._loop.time())

    def _check(self, sent: float) -> None:
        if self._heard < sent and self._socket.beats:
            self.end(Close.SILENT, "silent")
        self._beat()

    def _ping(self) -> None:
        nonce = secrets.randbits(32)
        self.trips.ping(nonce, self._loop.time())
        self.offer(encode(Ping(nonce=nonce)))

    def pong(self, nonce: int) -> None:
        """The client answered a ping."""
        self.trips.pong(nonce, self._heard)

    async def _read(self, obey: Callable[[ClientMessage], Awaitable[None]]) -> None:
        while not self._ended.done():
            text = await self._socket.receive()
            self._heard = self._loop.time()
            if not self._bucket.take(self._heard) or too_large(text, self._limits):
                self.end(Close.TOO_FAST, "too_fast")
            elif text.strip() != HEARTBEAT:
                await self._obey(obey, text)

    async def _obey(self, obey: Callable[[ClientMessage], Awaitable[None]], text: str) -> None:
        correlation: Correlation = None
        try:
            frame = decode_client(text)
            correlation = frame.id
            await obey(frame)
        except EduError as error:
            self.offer(encode(error_frame(error, correlation)))


def too_large(text: str, limits: Limits) -> bool:
    """Whether a frame is over the limit, in bytes of UTF-8."""
    return len(text) > limits.frame_bytes or len(text.encode(errors="replace")) > limits.frame_bytes


async def first_frame(socket: Socket, limits: Limits) -> Join:
    """The frame that must come first and soon; raises Unauthenticated or InvalidField."""
    try:
        async with asyncio.timeout(limits.first_frame_s):
            text = await socket.receive()
    except TimeoutError:
        raise Unauthenticated("No first frame came in time.", code="silent") from None
    if too_large(text, limits):
        raise InvalidField("The first frame is too large.", code="bad_frame")
    return decode_join(text)


def error_frame(error: EduError, correlation: Correlation = None) -> Error:
    """What the client is told; trying again helps while a store is away or someone else was first."""
    temporary = isinstance(error, Unavailable | TooMany) or error.code in {"busy", "no_session", "silent"}
    retry_ms = error.retry_after * 1000 if isinstance(error, TooMany) else None
    return Error(code=error.code, message=str(error), temporary=temporary, id=correlation, retry_ms=retry_ms)


async def refuse(socket: Socket, error: EduError) -> None:
    """Say why nobody gets in here, and hang up."""
    with contextlib.suppress(Disconnected):
        await socket.send(encode(error_frame(error)))
        await socket.close(close_code(error), error.code)


def close_code(error: EduError) -> Close:
    """The close code of an error at the door."""
    by_code = {
        "token_expired": Close.EXPIRED,
        "silent": Close.SILENT,
        "session_ended": Close.REVOKED,
        "kicked": Close.KICKED,
        "too_many_tries": Close.GUESSING,
    }
    if error.code in by_code:
        return by_code[error.code]
    match error:
        case Unauthenticated():
            return Close.BAD_TOKEN
        case NotFound():
            return Close.NO_SESSION
        case InvalidField():
            return Close.BAD_REQUEST
        case Unavailable() | TooMany():
            return Close.UNAVAILABLE
        case _:
            return Close.FORBIDDEN
