"""How a command reaches the API: the server that holds the data folder, else the application in this process.

The application and what it is made of are imported where they are needed: `--help` is answered without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from api.cli.output import complain
from core.errors import EduError, FolderInUse

if TYPE_CHECKING:
    import httpx2

    from api.principal import Principal
    from core.settings import Settings

T = TypeVar("T")


class Refused(Exception):
    """The API answered with an error."""


def read_settings(data: Path | None = None, **chosen: Any) -> Settings:
    """The settings, with what the command line says on top; log lines below warnings only for a server."""
    from pydantic import ValidationError

    from core.settings import Settings
    from core.telemetry import configure_logging

    options = {name: value for name, value in {"data_dir": data, **chosen}.items() if value is not None}
    try:
        settings = Settings(**options)
    except ValidationError as error:
        for fault in error.errors():
            complain(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        raise typer.Exit(2) from None
    configure_logging(settings)
    return settings


def quiet(settings: Settings) -> Settings:
    """The same settings for a short command: only warnings are logged, and for people."""
    from core.telemetry import configure_logging

    calm = settings.model_copy(update={"log_level": "warning", "log_format": "console"})
    configure_logging(calm)
    return calm


def operator() -> Principal:
    """Whoever may read the data folder may do everything."""
    from api.principal import Principal

    return Principal(role="operator", subject="command-line")


def mint(settings: Settings, principal: Principal, lifetime: timedelta) -> str:
    """A token signed with this installation's secret."""
    from api.auth.tokens import Tokens
    from core.embedded import DataFolder, secret_key

    return Tokens(secret_key(settings, DataFolder(settings.data_dir)), lifetime).issue(principal)


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that may do everything."""
    import httpx2

    from api.app import create_app, started

    headers = {"Authorization": f"Bearer {mint(settings, operator(), timedelta(hours=1))}"}
    try:
        application = create_app(settings)
        async with started(application):
            transport = httpx2.ASGITransport(application)
            async with httpx2.AsyncClient(transport=transport, base_url="http://local", headers=headers) as client:
                yield client
    except FolderInUse as error:
        url = error.details.get("url")
        if not url:
            raise
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=120) as client:
            yield client


async def get(client: httpx2.AsyncClient, path: str, **parameters: Any) -> Any:
    """The data of an enveloped answer; raises `Refused`."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return read(await client.get(path, params=given))


def read(response: httpx2.Response) -> Any:
    """The body of a good answer (what `data` holds, if it is an envelope); raises `Refused`."""
    body = response.json()
    if response.status_code >= 400:
        raise Refused(body.get("message") or body.get("error") or response.text)
    return body["data"] if isinstance(body, dict) and "success" in body else body


async def load(client: httpx2.AsyncClient, query: Any) -> dict[str, Any]:
    """The answer to a query in Cube's JSON; asks again while the server says that it still works on it."""
    while True:
        response = await client.post("/cubejs-api/v1/load", json={"query": query})
        body: dict[str, Any] = response.json()
        if body.get("error") != "Continue wait":
            return dict(read(response))


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run a command's work; an error of ours becomes a line on stderr and exit code 1."""
    import httpx2
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_awaited(work))
    except EduError as error:
        complain(str(error))
    except Refused as error:
        complain(str(error))
    except httpx2.TransportError as error:
        complain(f"The server does not answer: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(1)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
