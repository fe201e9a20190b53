"""`python -m benchmarks.live_node POSTGRES_URL`: a node of the service that is measured; prints its address."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from core.collector import settle
from core.postgres import Postgres
from realtime.pacing import Limits
from tests.realtime.nodes import running_node


async def serve(url: str) -> None:
    """Serve until killed."""
    postgres = Postgres(url, 10)
    await postgres.open()
    async with running_node(postgres, limits=Limits()) as node:
        settle()
        print(node.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
