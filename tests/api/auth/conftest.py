"""Two servers of one installation, and operators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app, started
from api.auth.tokens import Tokens
from api.deps import Services
from api.principal import Principal
from core.postgres import Postgres
from core.warehouse import Warehouse
from tests.api.conftest import SECRET, Person, make_stores


@dataclass(frozen=True)
class Server:
    """One of several servers over one record."""

    app: FastAPI
    client: httpx2.AsyncClient

    @property
    def services(self) -> Services:
        """Its joined parts."""
        found = self.app.state.services
        assert isinstance(found, Services)
        return found

    def sees(self, person: Person) -> Person:
        """The same person, with the same token, at this server."""
        return Person(self.client, person.id, person.school_id, person.email, person.tokens)


StartServer: TypeAlias = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def start_server(postgres_url: str, warehouse: Warehouse, tmp_path: Path) -> StartServer:
    """Starts a server with a pool of its own over the test's record."""

    @asynccontextmanager
    async def start(url: str = postgres_url, **chosen: Any) -> AsyncIterator[Server]:
        record = Postgres(url, 4)
        await record.open()
        app = create_app(stores=make_stores(record, warehouse, tmp_path, **{"loader": False, **chosen}))
        async with started(app):
            transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                yield Server(app, client)
        await record.close()

    return start


@pytest.fixture
def operator(client: httpx2.AsyncClient) -> Person:
    """Whoever holds the secret."""
    token = Tokens(SECRET, timedelta(minutes=5)).issue(Principal(role="operator", subject="tests"))
    return Person(client, 0, 0, "", {"access_token": token})
