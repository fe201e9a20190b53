"""How the limits speak with Valkey (or Redis): briefly, for a request waits."""

from __future__ import annotations

from typing import Any

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

PATIENCE_S = 0.5
"""How long a request waits for Valkey before it goes on without."""

_CONNECTIONS = 8
AWAY = (ValkeyError, OSError, TimeoutError)
"""What a client raises while Valkey is away."""


def connect(url: str) -> Any:
    """A client that gives up soon and does not try twice."""
    return Valkey.from_pool(pool(url))


def pool(url: str) -> Any:
    """A few connections for many requests at once; who finds none free waits as long as for Valkey itself."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=PATIENCE_S,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
        retry=Retry(NoBackoff(), 0),
    )


def storage_url(url: str) -> str:
    """The address in the form of the `limits` library."""
    return f"async+{url}"
