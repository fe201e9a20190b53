"""The query routes over the tables and the model of the recorded exchanges, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import count
from operator import methodcaller
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from api.auth.tokens import Tokens
from api.deps import Services
from api.limits.attempts import LocalAttempts
from api.limits.gate import Rates
from api.limits.throttle import Throttle
from api.limits.windows import LocalWindows
from api.principal import Identities, Principal
from api.queries import routes, sql_routes
from core.settings import Settings
from core.warehouse import Warehouse
from engine.model import Catalog, load_catalog
from engine.run.engine import Engine
from engine.run.executor import Executor
from tests.shared import shared

_databases = count(1)
SECRET = b"a secret of thirty-two bytes, or more"


def application(catalog: Catalog, warehouse: Warehouse, settings: Settings | None = None) -> FastAPI:
    """The query routes alone, without a record."""
    settings = settings or Settings(query_threads=2)
    tokens = Tokens(SECRET, timedelta(minutes=60))
    app = FastAPI()
    app.include_router(routes.router)
    app.include_router(sql_routes.router)
    app.state.services = Services(
        settings=settings,
        tokens=tokens,
        identities=Identities(None),
        warehouse=warehouse,
        catalog=catalog,
        engine=Engine(catalog, Executor(warehouse, catalog, settings), settings),
        rates=Rates(settings, LocalWindows()),
        throttle=Throttle(LocalAttempts()),
        reports=None,  # type: ignore[arg-type]  # no report is asked for here
    )
    return app


def token(role: str = "operator", **claims: object) -> str:
    """A token of a caller."""
    return Tokens(SECRET, timedelta(minutes=60)).issue(Principal(role=role, subject="tests", **claims))  # type: ignore[arg-type]


def caller(app: FastAPI, **headers: str) -> httpx2.AsyncClient:
    """A client of the application in this process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test", headers=headers)


@pytest.fixture(scope="session")
def orders_warehouse(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """The tables of the recorded exchanges."""
    script = shared("cases", "cube_wire", "tables.sql").read_text()
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=wire_{next(_databases)}", threads=3)
    for statement in filter(str.strip, script.split(";\n")):
        warehouse.call(methodcaller("command", statement))
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="session")
def orders_catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The model of the recorded exchanges."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.yml").write_text(shared("cases", "cube_wire", "model.yml").read_text())
    return load_catalog(folder)


@pytest.fixture
def orders_app(orders_catalog: Catalog, orders_warehouse: Warehouse) -> FastAPI:
    """The routes over both."""
    return application(orders_catalog, orders_warehouse)


@pytest.fixture
async def client(orders_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """An operator's client."""
    async with caller(orders_app, Authorization=token()) as client:
        yield client
