"""A node of the service: a real uvicorn over a real socket, with the product's own door to live quizzes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from api.live.chronicle import Chronicler
from api.live.framing import FramingProtocol
from api.live.routes import SOCKET_PATH, socket_routes
from api.live.service import AnswerKeeper, LiveDoor
from core.postgres import Postgres
from core.settings import Settings
from ingestion.writer import Writer
from realtime.broker import Broker, LocalBroker
from realtime.hub import LiveHub
from realtime.pacing import Limits
from tests.realtime.world import Authenticator


@dataclass(frozen=True)
class Node:
    """A running node."""

    hub: LiveHub
    url: str


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the test runner."""
        yield


@asynccontextmanager
async def running_node(
    postgres: Postgres,
    broker: Broker | None = None,
    limits: Limits | None = None,
    origins: frozenset[str] = frozenset(),
    send_buffer: int | None = None,
) -> AsyncIterator[Node]:
    """Start a node, and stop it at the end."""
    async with Writer(postgres, Settings()) as writer:
        hub = LiveHub(
            postgres,
            broker or LocalBroker(),
            Authenticator(postgres),
            AnswerKeeper(writer),
            limits,
            chronicle=Chronicler(Settings()),
        )
        app = FastAPI()
        app.router.routes.extend(socket_routes)
        app.state.services = SimpleNamespace(extra={"live": LiveDoor(hub, origins)})
        async with served(app, send_buffer) as url, hub:
            yield Node(hub, url)


@asynccontextmanager
async def served(app: FastAPI, send_buffer: int | None = None) -> AsyncIterator[str]:
    """Serve an application whose lifespan runs elsewhere; the address of its live quizzes."""
    config = uvicorn.Config(app, ws=FramingProtocol, ws_per_message_deflate=False, lifespan="off", log_level="error")
    server, door = _Server(config), _listener(send_buffer)
    serving = asyncio.create_task(server.serve([door]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{door.getsockname()[1]}{SOCKET_PATH}"
    finally:
        server.should_exit = True
        await serving


def _listener(send_buffer: int | None) -> socket.socket:
    door = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only where it sees this
    if send_buffer is not None:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    door.bind(("127.0.0.1", 0))
    return door
