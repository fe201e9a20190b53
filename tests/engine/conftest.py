"""What several tests of the engine stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.warehouse import Warehouse
from tests.engine.asking import command
from tests.engine.worlds.cases import DATABASE


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """The database of random models, which lives in memory."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=default", threads=1)
    command(warehouse, f"CREATE DATABASE {DATABASE} ENGINE = Memory")
    yield warehouse
    command(warehouse, f"DROP DATABASE {DATABASE}")
    warehouse.close()
