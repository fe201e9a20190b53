"""A small school over the application."""

from __future__ import annotations

import httpx2
import pytest

from core.postgres import Postgres
from tests.api.audit.people import Small, make_small


@pytest.fixture
async def small(client: httpx2.AsyncClient, postgres: Postgres) -> Small:
    """A small school."""
    return await make_small(client, postgres)
