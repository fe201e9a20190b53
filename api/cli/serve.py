"""serve, load: the long-running commands."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api.cli.client import read_settings, run
from api.cli.options import Data, Models
from api.cli.output import console

Host = Annotated[str | None, typer.Option(help="The address to listen on; without it EDU_HOST.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one; without it EDU_PORT.")]


def serve(host: Host = None, port: Port = None, data: Data = None, models: Models = None) -> None:
    """Start the server.

    With CLICKHOUSE_URL and --models but no DATABASE_URL it is the semantic layer alone, over any ClickHouse."""
    from api.cli.server import serving

    settings = read_settings(data, host=host, port=port, models_dir=models)

    async def work() -> None:
        async with serving(settings) as server:
            await server.wait()

    run(work)


def load(
    once: Annotated[bool, typer.Option("--once", help="Bring over what is there now, then end.")] = False,
    data: Data = None,
) -> None:
    """Run the loader alone: it brings committed rows to ClickHouse."""
    from api.cli.server import until_stopped
    from core.embedded import open_stores
    from ingestion.archive.housekeeping import Housekeeping
    from ingestion.loader import Loader

    settings = read_settings(data)

    async def work() -> None:
        async with open_stores(settings) as stores:
            loader = Loader(stores.postgres, stores.warehouse, settings)
            if once:
                await loader.drain(seconds=24 * 3600)
                await loader.close()
            else:
                keeping = Housekeeping(stores.postgres, stores.warehouse, settings, loader)

                async def both(stop: asyncio.Event) -> None:
                    await asyncio.gather(loader.run(stop), keeping.run(stop))

                await until_stopped(both)

    run(work)


def page_of_links(url: str) -> None:
    """Where to look."""
    for path, what in (
        ("/", "the landing page"),
        ("/docs", "every address, with examples"),
        ("/live/host", "lead a live quiz; pupils come to /live/join"),
        ("/api/v1/reports", "the reports"),
        ("/cubejs-api/v1/meta", "what can be asked"),
        ("/health", "health"),
        ("/metrics", "metrics"),
    ):
        console.print(f"  {url + path:<50} [dim]{what}[/]", highlight=False)
