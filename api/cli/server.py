"""A running server: what listens, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.cli.protocol import head_guard
from api.live.framing import FramingProtocol
from core.collector import settle
from core.errors import StartupError
from core.settings import Settings
from core.telemetry import log

_GRACE_SECONDS = 10
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to us: uvicorn raises them again at its end, and the process would die before its time."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM: finish the requests at hand; once more: leave them."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._asked)
        yield

    def _asked(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self.told.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """The stores are closed in any case: uvicorn leaves that out when it is told twice, as by `make`."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


class Server:
    """A running server: its application, its address, and its end."""

    def __init__(self, application: FastAPI, url: str, inner: _Uvicorn, task: asyncio.Task[None]) -> None:
        self.application = application
        self.url = url
        self._inner = inner
        self._task = task

    async def wait(self) -> None:
        """Until it is told to stop (SIGINT, SIGTERM)."""
        await asyncio.shield(self._task)

    async def during(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, but go no further than until the server is told to stop."""
        working, told = asyncio.create_task(work), asyncio.create_task(self._inner.told.wait())
        try:
            await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            told.cancel()
            await asyncio.wait({working, told})
        if not working.cancelled() and not self._inner.told.is_set():
            working.result()

    async def stop(self) -> None:
        """Finish the requests at hand, then end."""
        self._inner.should_exit = True
        await self._task


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Server]:
    """A server that accepts requests; raises what kept it from starting."""
    application = create_app(settings)
    config = uvicorn.Config(
        application,
        http=head_guard(settings.body_seconds),
        host=settings.host,
        port=settings.port,
        ws=FramingProtocol,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # EDU_TRUSTED_PROXIES says whom to believe
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    listener = _bound(config, settings)
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    url = f"http://{host}:{listener.getsockname()[1]}"
    application.state.url = url
    inner = _Uvicorn(config)
    task = asyncio.create_task(_served(inner, listener))
    server = Server(application, url, inner, task)
    try:
        while not inner.started and not task.done():  # noqa: ASYNC110 - uvicorn tells it only by this flag
            await asyncio.sleep(0.02)
        if not inner.started:
            await task
            raise getattr(application.state, "failure", None) or StartupError("The server could not start.")
        settle()
        log.info("serving", url=url)
        yield server
    finally:
        await server.stop()
        listener.close()


async def _served(inner: uvicorn.Server, listener: Any) -> None:
    """Serve until told to stop; a start that fails ends quietly, for the caller tells why."""
    logger = logging.getLogger("uvicorn.error")

    def after_start(_: logging.LogRecord) -> bool:
        return inner.started

    logger.addFilter(after_start)
    try:
        await inner.serve(sockets=[listener])
    except SystemExit:
        return
    finally:
        logger.removeFilter(after_start)


def _bound(config: uvicorn.Config, settings: Settings) -> Any:
    try:
        bound = config.bind_socket()
        # asyncio sets this only on sockets that it made; without it a small frame waits 40 ms for the last one's ACK
        bound.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return bound
    except (OSError, SystemExit):
        raise StartupError(
            f"Port {settings.port} of {settings.host} is taken.", hint="Choose another with --port, or stop the other."
        ) from None


async def until_stopped(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `work(stop)`; `stop` is set by SIGINT or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    await work(stop)
