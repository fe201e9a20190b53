"""A wire between clients and a server that can be cut and laid to another one."""

from __future__ import annotations

import asyncio


class Proxy:
    """A wire that can be cut."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._writers: set[asyncio.StreamWriter] = set()

    def lead_to(self, url: str) -> None:
        """Connect whoever comes from now on with this server."""
        self._host, self._port = url.removeprefix("ws://").partition("/")[0].split(":")

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/ws/quiz"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection(self._host, int(self._port))
        pair = {writer, down}
        self._writers |= pair
        try:
            await asyncio.gather(self._pass(reader, down), self._pass(up, writer), return_exceptions=True)
        finally:
            self._writers -= pair

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()
