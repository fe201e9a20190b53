"""A loader over a fresh record and a fresh ClickHouse database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from tests.ingestion.rows import months


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, away from the user's own folder."""
    return Settings(data_dir=tmp_path, batch_rows=50)


@pytest.fixture
async def loader(postgres: Postgres, warehouse: Warehouse, settings: Settings) -> AsyncIterator[Loader]:
    """A loader that works when it is told to (batches of 50 rows); this month's partitions exist."""
    await months(postgres)
    made = Loader(postgres, warehouse, settings)
    yield made
    await made.close()
