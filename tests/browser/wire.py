"""A wire between a browser and the server that can be cut and mended."""

from __future__ import annotations

import asyncio


class Wire:
    """Passes bytes both ways; while it is `down` it breaks every connection at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.down = False
        self._moves = _moving()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        up, down = await asyncio.open_connection("127.0.0.1", self._port)
        pair = {writer, down}
        self._writers |= pair
        try:
            await asyncio.gather(self._pass(reader, down), self._pass(up, writer), return_exceptions=True)
        finally:
            self._writers -= pair

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        moves: asyncio.Event | None = None
        while data := await reader.read(65536):
            if b"upgrade: websocket" in data.lower():
                moves = self._moves
            if moves is not None:
                await moves.wait()
            writer.write(data)
        writer.close()

    def cut(self) -> None:
        """Break every connection, and each new one until it is mended."""
        self.down = True
        for writer in list(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """From now on nothing passes on the WebSockets that are open, and nobody is told; new ones work."""
        self._moves.clear()
        self._moves = _moving()

    def mend(self) -> None:
        """Let connections through again."""
        self.down = False


def _moving() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
