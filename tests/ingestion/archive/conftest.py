"""A folder as the archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.postgres import Postgres
from core.settings import Settings
from ingestion.archive.manifest import office
from ingestion.archive.store import Folder
from ingestion.batches import Blocking


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The design's tiers, and a folder for what leaves."""
    return Settings(data_dir=tmp_path, batch_rows=50, archive_url=str(tmp_path / "archive"), archive_rest_hours=0)


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    """The same folder."""
    return Folder(tmp_path / "archive")


@pytest.fixture
def connection(postgres: Postgres) -> Iterator[Blocking]:
    """The archive's office."""
    with office(postgres.url) as held:
        yield held
