"""Real stores for every test: one Postgres and one ClickHouse per test process, a database of its own per test."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from core.warehouse import Warehouse
from tests.shelf import Shelf

_numbers = count(1)
_SLOWEST = Path(__file__).resolve().parent / "data" / "slowest.txt"
_MEMORY = Path("/dev/shm")
_PLENTY_BYTES = 6 << 30
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "16",
}


def pytest_configure() -> None:
    """What tests write goes into memory where there is plenty, for half of a test's time is waiting for `fsync`.

    Nothing here proves anything about a lost disk; a killed process leaves its files there as well. `TMPDIR` says
    otherwise. The many processes that tests start read the product compiled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ and _has_plenty(_MEMORY):
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, so that no process is left alone with one at the end."""
    order = {name: place for place, name in enumerate(_SLOWEST.read_text().split())}
    items.sort(key=lambda item: order.get(item.path.relative_to(_SLOWEST.parents[1]).as_posix(), len(order)))


def _has_plenty(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return min(shutil.disk_usage(folder).free, kilobytes << 10) > _PLENTY_BYTES


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def stores_folder() -> Iterator[Path]:
    """A folder for this process's stores, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="edu-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(stores_folder: Path) -> Iterator[str]:
    """The URL of a running Postgres with a migrated template database."""
    server = PostgresServer(stores_folder / "postgres", _FAST)
    url = server.start()
    _execute(url, "create database template_edu")
    migrate(database(url, "template_edu"))
    yield url
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    _execute(postgres_server, f"create database {name} template template_edu strategy file_copy")
    yield database(postgres_server, name)
    _execute(postgres_server, f"drop database {name} with (force)")


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    """An open pool over a fresh database."""
    record = Postgres(postgres_url, 4)
    await record.open()
    yield record
    await record.close()


@pytest.fixture(scope="session")
def clickhouse_folder(stores_folder: Path) -> Path:
    """The one chDB folder of this process."""
    return stores_folder / "clickhouse"


@pytest.fixture(scope="session")
def shelf(clickhouse_folder: Path) -> Iterator[Shelf]:
    """The ClickHouse databases that no test has now."""
    shelf = Shelf(clickhouse_folder)
    yield shelf
    shelf.close()


@pytest.fixture
def bare_warehouse(shelf: Shelf) -> Iterator[Warehouse]:
    """An empty ClickHouse database."""
    warehouse = shelf.bare()
    yield warehouse
    shelf.clear(warehouse)


@pytest.fixture
async def warehouse(shelf: Shelf) -> AsyncIterator[Warehouse]:
    """A ClickHouse database with our tables, which are empty."""
    warehouse, shape = await shelf.furnished()
    yield warehouse
    shelf.empty(warehouse, shape)


def database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return url.replace("/postgres?", f"/{name}?", 1)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
