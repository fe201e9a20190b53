"""A real server over a real socket around an application that runs already, with the product's own HTTP protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI

from api.cli.protocol import head_guard
from api.live.framing import FramingProtocol


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals belong to the test runner."""


@asynccontextmanager
async def listening(app: FastAPI, head_seconds: float = 30) -> AsyncIterator[int]:
    """The port of a server; its application's lifespan runs elsewhere."""
    config = uvicorn.Config(
        app,
        http=head_guard(head_seconds),
        ws=FramingProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server, door = _Server(config), socket.socket()
    door.bind(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([door]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        door.close()


async def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts with pauses between them; everything that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read())
    with suppress(ConnectionError):
        for part in parts:
            if answer.done():
                break
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    try:
        return await asyncio.wait_for(answer, 20)
    finally:
        writer.close()
