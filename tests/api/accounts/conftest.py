"""One application for each file of tests (they make schools of their own), and the mails that it wrote."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import FastAPI

from api.app import create_app, started
from core.postgres import Postgres
from core.tables import create_tables
from core.warehouse import Warehouse
from tests.api.conftest import Person, data, make_stores, register
from tests.conftest import database

_numbers = count(1)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The loop lives as long as the application."""
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder."""
    return tmp_path_factory.mktemp("accounts")


@pytest.fixture(scope="module")
def chosen() -> dict[str, Any]:
    """Settings of a file's own."""
    return {}


@pytest.fixture(scope="module")
def module_warehouse(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """A ClickHouse database of the file."""
    name = f"accounts_{next(_numbers)}"
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database={name}", threads=1)
    yield warehouse
    warehouse.call(lambda client: client.command(f"DROP DATABASE IF EXISTS {name}"))
    warehouse.close()


@pytest.fixture(scope="module")
async def record(postgres_server: str) -> AsyncIterator[Postgres]:
    """A Postgres database of the file."""
    name = f"accounts_{next(_numbers)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"create database {name} template template_edu")
    postgres = Postgres(database(postgres_server, name), 8)
    await postgres.open()
    yield postgres
    await postgres.close()


@pytest.fixture(scope="module")
async def application(
    record: Postgres, module_warehouse: Warehouse, folder: Path, chosen: dict[str, Any]
) -> AsyncIterator[FastAPI]:
    """The application, started."""
    await create_tables(module_warehouse)
    stores = make_stores(record, module_warehouse, folder, **chosen)
    async with started(create_app(stores=stores)) as app:
        yield app


@pytest.fixture(scope="module")
async def client(application: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Nobody in particular."""
    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as caller:
        yield caller


@pytest.fixture(scope="module")
async def admin(client: httpx2.AsyncClient) -> Person:
    """The admin of a school."""
    return await register(client, "admin", school_name="Hilltop")


def address(who: str = "somebody") -> str:
    """An address that nobody has yet."""
    return f"{who}-{next(_numbers)}@example.org"


async def made_user(admin: Person, **values: Any) -> dict[str, Any]:
    """An account with an address in the admin's school."""
    return await admin.make("users", **{"name": "Ada Example", "role": "student", "email": address(), **values})


def outbox(folder: Path, to: str) -> list[EmailMessage]:
    """The mails to an address, the oldest first."""
    found = []
    for path in sorted((folder / "outbox").glob("*.eml")):
        message = message_from_bytes(path.read_bytes(), policy=default)
        if message["To"] == to:
            found.append(message)
    return found


async def mail(folder: Path, to: str, number: int = 1) -> EmailMessage:
    """The n-th mail to an address, when it is there."""
    for _ in range(400):
        found = outbox(folder, to)
        if len(found) >= number:
            return found[number - 1]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail to {to}")


def secret(message: EmailMessage) -> str:
    """What stands after # and = in the link of a mail."""
    found = re.search(r"/web/account\.html#\w+=(\S+)", message.get_content())
    assert found
    return found[1]


async def join_code(admin: Person, **wish: Any) -> str:
    """A join code of the admin's school."""
    return str(data(await admin.post("/api/v1/invitations", wish), 201)["code"])
