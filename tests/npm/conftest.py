"""A live server on loopback, and the npm client beside it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from tests.api.queries.conftest import application, orders_catalog, orders_warehouse, token

__all__ = ["orders_catalog", "orders_warehouse"]
_HERE = Path(__file__).parent
Ask = Callable[[list[dict[str, Any]]], list[Any]]


@pytest.fixture(scope="session")
def npm_folder() -> Path:
    """The folder with the client's package, installed as the lock file says."""
    if shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    wanted = (_HERE / "package-lock.json").read_bytes()
    done = _HERE / "node_modules" / ".installed"
    if not done.is_file() or done.read_bytes() != wanted:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_HERE, check=True)
        done.write_bytes(wanted)
    return _HERE


class LiveServer:
    """An application behind uvicorn, in a thread of this process."""

    def __init__(self, app: FastAPI) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def start(self) -> None:
        """Returns when it serves."""
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        """Returns when it has stopped."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@pytest.fixture(scope="session")
def live_url(orders_catalog: Any, orders_warehouse: Any) -> Iterator[str]:
    """The address of the query routes."""
    server = LiveServer(application(orders_catalog, orders_warehouse))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def ask(live_url: str, npm_folder: Path) -> Ask:
    """What the npm client makes of each call."""

    def asked(calls: list[dict[str, Any]]) -> list[Any]:
        given = json.dumps({"url": live_url, "token": token(), "calls": calls})
        done = subprocess.run(
            ["node", "client.mjs"], cwd=npm_folder, input=given, capture_output=True, text=True, timeout=120, check=True
        )
        return list(json.loads(done.stdout))

    return asked
