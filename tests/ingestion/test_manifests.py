"""A loader of this version recovers what a loader of an earlier release left behind (tests/data/manifests)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.loader import Loader
from ingestion.partitions import ensure_months
from tests.ingestion.ledger import balance

FOLDER = Path(__file__).resolve().parents[1] / "data" / "manifests"
RELEASES = sorted(path.stem for path in FOLDER.glob("*.sql"))
_OURS = "update pipelines set cluster = (select system_identifier::text from pg_control_system())"


@pytest.mark.parametrize("release", RELEASES)
async def test_what_a_release_left_is_recovered(
    release: str, postgres: Postgres, warehouse: Warehouse, settings: Settings
) -> None:
    """Batch 1 is committed, batch 2 prepared and torn, five rows wait in the open window."""
    async with postgres.transaction() as connection:
        await ensure_months(connection, [datetime(2026, 11, 26, tzinfo=UTC)])
    _read(postgres.url, (FOLDER / f"{release}.sql").read_text())
    there = [line.split("\t") for line in (FOLDER / f"{release}.tsv").read_text().splitlines()]
    kept = {
        str(row["event_id"]): (row["school_id"], row["event_name"], row["occurred_at"])
        for row in await postgres.fetch("select event_id, school_id, event_name, occurred_at from events")
    }
    rows = [[identifier, *kept[identifier], int(batch)] for identifier, batch in there]
    await warehouse.insert("events", ["event_id", "school_id", "event_name", "occurred_at", "batch"], rows)
    loader = Loader(postgres, warehouse, settings)
    await loader.drain()
    await loader.close()
    ledger = balance(postgres.url, warehouse, kept)
    assert (ledger.faults, ledger.warehouse) == ({}, len(kept))
    assert await postgres.fetch("select 1 as n from batches where state = 'prepared'") == []


def _read(url: str, text: str) -> None:
    """The transactions of the dump have to lie in this cluster's past."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter table pipelines alter cluster set default '';\n{text}")
        connection.execute(_OURS)
        while connection.execute("select pg_current_xact_id()::text::bigint < 1000").fetchall()[0][0]:
            pass
