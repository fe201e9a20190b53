"""A wire between a browser and the server that can be cut and mended."""

from __future__ import annotations

import asyncio


class Wire:
    """Passes bytes both ways; while it is `down` it breaks every connection at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.down = False

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
            await asyncio.gather(_pass(reader, down), _pass(up, writer), return_exceptions=True)
        finally:
            self._writers -= pair

    def cut(self) -> None:
        """Break every connection, and each new one until it is mended."""
        self.down = True
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self.down = False


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
