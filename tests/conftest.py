"""Real stores for every test: one Postgres and one ClickHouse per test process, a fresh database per test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from core.tables import create_tables
from core.warehouse import Warehouse

_numbers = count(1)
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "16",
}


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


@pytest.fixture
def bare_warehouse(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """A fresh, empty ClickHouse database."""
    name = f"test_{next(_numbers)}"
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database={name}", threads=2)
    yield warehouse
    warehouse.call(lambda client: client.command(f"DROP DATABASE IF EXISTS {name}"))
    warehouse.close()


@pytest.fixture
async def warehouse(bare_warehouse: Warehouse) -> Warehouse:
    """A fresh ClickHouse database with our tables."""
    await create_tables(bare_warehouse)
    return bare_warehouse


def database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return url.replace("/postgres?", f"/{name}?", 1)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
