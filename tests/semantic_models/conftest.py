"""The installations, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from core.warehouse import Warehouse
from engine import Catalog, load_catalog
from tests.conftest import database
from tests.semantic_models.installations import MODELS, Installation, bring_in, make_up
from tests.shared import shared

FOLDERS = ["timss11", "credential", "coursekata", "refs"]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The product's own models."""
    return load_catalog(MODELS)


@pytest.fixture(scope="session")
def made_up(catalog: Catalog, clickhouse_folder: Path) -> Iterator[Installation]:
    """A made-up district."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=made_up", threads=2)
    yield make_up(catalog, warehouse)
    warehouse.close()


@pytest.fixture(scope="session")
def imported(
    catalog: Catalog, clickhouse_folder: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The shared folders, through importer, Postgres and loader."""
    folders = [shared("data", name) for name in FOLDERS]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("create database imported template template_edu")
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=imported", threads=2)
    settings = Settings(data_dir=tmp_path_factory.mktemp("imported"))
    yield bring_in(catalog, warehouse, database(postgres_server, "imported"), folders, settings)
    warehouse.close()
