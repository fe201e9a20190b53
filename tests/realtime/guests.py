"""Somebody at a live quiz: a real WebSocket client that remembers all it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, get_args

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from realtime.protocol import LogFrame

Frame: TypeAlias = dict[str, Any]
PATIENCE = 8.0
LOG_EVENTS = {event.__struct_config__.tag for event in get_args(LogFrame)}


class Guest:
    """Reads in the background; `expect` finds frames in the order in which they came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.texts: list[str] = []
        self._seen = 0
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self.texts.append(str(text))
                frame = json.loads(text)
                if frame.get("event") == "ping":
                    await self.pong(frame["nonce"])
                self.frames.append(frame)
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self._news.set()

    async def pong(self, nonce: int) -> None:
        """Answer a ping."""
        await self.send("pong", nonce=nonce)

    async def send(self, event: str, **fields: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps({"event": event, **fields}))

    async def expect(self, event: str, patience: float = PATIENCE, **fields: Any) -> Frame:
        """The next frame of this event with these fields; what lies before it is passed over."""
        return await self.until(lambda frame: frame | {"event": event} | fields == frame, f"{event} {fields}", patience)

    async def until(self, wanted: Callable[[Frame], bool], name: str = "frame", patience: float = PATIENCE) -> Frame:
        """The next frame that is wanted."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    while self._seen < len(self.frames):
                        self._seen += 1
                        if wanted(self.frames[self._seen - 1]):
                            return self.frames[self._seen - 1]
                    if self._reading.done():
                        raise AssertionError(f"closed ({self.socket.close_code}) before {name}: {self.frames}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {name} in {patience} s: {self.frames}") from None

    async def answer(self, question_id: int, answer: Any, **more: Any) -> Frame:
        """Answer, and wait for the acknowledgement or the refusal."""
        await self.send("answer_submitted", question_id=question_id, answer=answer, id="a", **more)
        return await self.until(lambda frame: frame.get("id") == "a", "acknowledgement")

    async def closed(self, patience: float = PATIENCE) -> int | None:
        """The close code, when the server has hung up."""
        async with asyncio.timeout(patience):
            await self._reading
        return self.socket.close_code

    def log(self) -> list[Frame]:
        """The log frames, those of `joined` included."""
        joined = [entry for frame in self.frames if frame.get("event") == "joined" for entry in frame["log"]]
        return joined + [frame for frame in self.frames if frame.get("event") in LOG_EVENTS]

    def events(self) -> list[str]:
        """The events that came, in order."""
        return [frame["event"] for frame in self.frames]

    async def leave(self) -> None:
        """Hang up."""
        await self.socket.close()
        await self._reading


@asynccontextmanager
async def visiting(url: str, **options: Any) -> AsyncIterator[Guest]:
    """A connected guest who has not yet said who he is."""
    spoken = {"subprotocols": [Subprotocol("edu.live.v1")]} | options
    async with connect(url, compression=None, **spoken) as socket:
        guest = Guest(socket)
        try:
            yield guest
        finally:
            await guest.leave()


@asynccontextmanager
async def joined(url: str, token: str, **where: Any) -> AsyncIterator[Guest]:
    """A guest who is in the room."""
    async with visiting(url) as guest:
        await guest.send("join", token=token, **where)
        await guest.expect("joined")
        yield guest
