"""A small school; requests end soon, so that amendments settle soon."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from core.embedded import Stores
from core.postgres import Postgres
from core.warehouse import Warehouse
from tests.api.audit.people import Small, make_small
from tests.api.conftest import make_stores


@pytest.fixture
def stores(postgres: Postgres, warehouse: Warehouse, tmp_path: Path) -> Stores:
    """Fresh stores."""
    return make_stores(postgres, warehouse, tmp_path)


@pytest.fixture
async def small(client: httpx2.AsyncClient, postgres: Postgres) -> Small:
    """A small school."""
    return await make_small(client, postgres)
