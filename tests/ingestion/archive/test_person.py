"""A person's data is given out whole, wherever it lies."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

from api.privacy.archive import make_archive
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.months import run
from ingestion.archive.store import Folder
from ingestion.batches import Blocking
from ingestion.loader import Loader
from tests.ingestion.archive.world import make_world


async def test_an_export_is_the_same_before_and_after(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking,
    tmp_path: Path,
) -> None:  # fmt: skip
    schools = await make_world(postgres, loader, [40, 14, 2])
    for person in ("ann", "ben", "teacher"):
        before = exported(postgres.url, schools[1][person], None)
        assert len(before["responses.json"]) == (0 if person == "teacher" else len(before["responses.json"]) or 1)
        assert exported(postgres.url, schools[1][person], store) == before
    wanted = exported(postgres.url, schools[1]["ann"], None)
    list(run(connection, warehouse, store, settings))
    assert len(exported(postgres.url, schools[1]["ann"], None)["events.json"]) < len(wanted["events.json"])
    assert exported(postgres.url, schools[1]["ann"], store) == wanted


def exported(url: str, person: int, store: Folder | None) -> dict[str, list[object]]:
    """The JSON files of an export."""
    with make_archive(url, person, store) as file, ZipFile(file) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
