"""`python -m tests.realtime.lone_node POSTGRES_URL`: a node in a process of its own, which prints its address.

It runs until it is killed; SIGTERM drains it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.postgres import Postgres
from tests.realtime.conftest import QUICK
from tests.realtime.nodes import running_node


async def main(url: str) -> None:
    """Serve."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    postgres = Postgres(url, 4)
    await postgres.open()
    async with running_node(postgres, limits=QUICK) as node:
        print(node.url, flush=True)
        await stop.wait()
    await postgres.close()


@asynccontextmanager
async def lone_node(url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A node in its own process, and its address; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.realtime.lone_node", url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
