"""A client of /ws/quiz: comes back by itself, misses nothing, knows the server's clock.

    async with LiveClient("ws://localhost:9090/ws/quiz", token, join_code="K7QM2XPA") as quiz:
        async for frame in quiz.frames():
            if frame["event"] == "question_displayed":
                ack = await quiz.answer(frame["question_id"], "B")

`frames` yields each log frame once and in order, whatever happened to the connection between; state frames and `joined`
as they come; `session_id` with `off=0` gives the whole log from the beginning. It ends when the server says to stay
away, and raises `StayedAway` with the close code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from realtime.protocol import SUBPROTOCOL, Close
from realtime.protocol.words import comes_back

Frame: TypeAlias = dict[str, Any]
Token: TypeAlias = str | Callable[[], Awaitable[str]]
FIRST_S, LONGEST_S = 0.25, 8.0
"""The first pause before coming back, doubling up to the longest; each time a random part of it."""
PROBES = 5


class StayedAway(Exception):
    """The server has closed for good; `code` and `reason` tell why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Refused(Exception):
    """The server did not obey a frame; `frame` is its `error`."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame["message"])
        self.frame = frame


class LiveClient:
    """One person in one room."""

    def __init__(self, url: str, token: Token, **where: Any) -> None:
        """`where`: join_code, classroom_id or session_id (with `off`), and a nickname. `token` may be a function."""
        self._url = url
        self._token = token
        self._where = where
        self._socket: ClientConnection | None = None
        self._inbox: asyncio.Queue[Frame | StayedAway] = asyncio.Queue()
        self._asked: dict[int, tuple[str, asyncio.Future[Frame]]] = {}
        self._ids = 0
        self._offset_ms: float | None = None
        self._least_s = float("inf")
        self._running: asyncio.Task[None] | None = None
        self.off: int = where.get("off") or 0
        self.joined: Frame | None = None
        self.reconnects = 0

    async def __aenter__(self) -> Self:
        """Connect in the background."""
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        with contextlib.suppress(ConnectionClosed):
            if self._socket is not None:
                await self._socket.send(json.dumps({"event": "leave"}))
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def now_ms(self) -> float:
        """The server's clock, in ms since 1970; our own until the first probe is back."""
        return time.time() * 1000 + (self._offset_ms or 0.0)

    async def frames(self) -> AsyncIterator[Frame]:
        """Every frame, log frames once each and in order; raises StayedAway at the end."""
        while True:
            found = await self._inbox.get()
            if isinstance(found, StayedAway):
                raise found
            yield found

    async def answer(self, question_id: int, answer: Any) -> Frame:
        """Answer, and return the acknowledgement; sent again after a broken connection, it counts once."""
        key = f"{random.getrandbits(64):x}"
        return await self.ask("answer_submitted", question_id=question_id, answer=answer, key=key)

    async def ask(self, event: str, **fields: Any) -> Frame:
        """Send a frame, and return what the server answers to it; raises Refused."""
        self._ids += 1
        text = json.dumps({"event": event, "id": self._ids, **fields})
        done: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[self._ids] = text, done
        await self._send(text)
        return await done

    # ---------------------------------------------------------------- the connection

    async def _run(self) -> None:
        tries = 0
        while True:
            closed = await self._visit()
            tries = 0 if self._socket is not None else tries + 1
            self._socket = None
            if not comes_back(closed.code):
                self._give_up(closed)
                return
            await asyncio.sleep(_pause(closed, tries))
            self.reconnects += 1

    async def _visit(self) -> StayedAway:
        try:
            spoken = [Subprotocol(SUBPROTOCOL)]
            async with connect(self._url, subprotocols=spoken, compression=None, max_size=2**24) as socket:
                await socket.send(json.dumps(await self._join()))
                async for text in socket:
                    await self._hear(socket, json.loads(text))
                return StayedAway(socket.close_code or 1006, socket.close_reason or "")
        except ConnectionClosed as error:
            return StayedAway(error.rcvd.code if error.rcvd else 1006, error.rcvd.reason if error.rcvd else "")
        except (OSError, InvalidHandshake, TimeoutError) as error:
            return StayedAway(1006, str(error))

    async def _join(self) -> Frame:
        token = self._token if isinstance(self._token, str) else await self._token()
        where = dict(self._where)
        if self.joined is not None:
            where = {"session_id": self.joined["session_id"], "off": self.off}
        return {"event": "join", "token": token, **where}

    async def _hear(self, socket: ClientConnection, frame: Frame) -> None:
        event = frame.get("event")
        if event == "ping":
            await socket.send(json.dumps({"event": "pong", "nonce": frame["nonce"]}))
        elif event == "joined":
            await self._come_in(socket, frame)
        elif frame.get("id") in self._asked:
            self._answered(frame)
        elif "off" in frame:
            await self._happened(socket, frame)
        else:
            self._inbox.put_nowait(frame)

    async def _come_in(self, socket: ClientConnection, frame: Frame) -> None:
        self._socket = socket
        missed = frame["log"] if frame["recovered"] else []
        self.joined = frame
        if not frame["recovered"]:
            self.off = frame["off"]
        self._inbox.put_nowait(frame)
        for event in missed:
            await self._happened(socket, event)
        for text, _ in list(self._asked.values()):
            await socket.send(text)
        for number in range(PROBES):
            asyncio.get_running_loop().call_later(number * 0.1, self._probe)

    async def _happened(self, socket: ClientConnection, frame: Frame) -> None:
        if frame["off"] == self.off + 1:
            self.off += 1
            self._inbox.put_nowait(frame)
        elif frame["off"] > self.off:
            await socket.close(4010, "resync")  # a gap: come back and read what is missing

    def _answered(self, frame: Frame) -> None:
        _, done = self._asked.pop(frame["id"])
        if done.done():
            return
        if frame["event"] == "error":
            done.set_exception(Refused(frame))
        else:
            done.set_result(frame)

    def _probe(self) -> None:
        task = asyncio.ensure_future(self._measure())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _measure(self) -> None:
        began = time.time()
        frame = await self.ask("sync")
        took = time.time() - began
        if 0 <= took < self._least_s:
            self._least_s = took
            self._offset_ms = frame["server_ms"] - (began + took / 2) * 1000

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):
            if self._socket is not None:
                await self._socket.send(text)  # else it is sent when we are in again

    def _give_up(self, closed: StayedAway) -> None:
        self._inbox.put_nowait(closed)
        for _, done in self._asked.values():
            if not done.done():
                done.set_exception(closed)


def _pause(closed: StayedAway, tries: int) -> float:
    """Seconds until we come back: what the server says, or a random part of a time that doubles."""
    name, _, number = closed.reason.partition("=")
    if closed.code == Close.RESTART and name == "retry_ms" and number.isdigit():
        return int(number) / 1000
    return random.uniform(0, min(LONGEST_S, FIRST_S * 2**tries))  # noqa: S311 - spreads load
