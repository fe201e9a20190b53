"""A process that works on the archive, and kills itself at one place of the path; or loads, or says what is there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

from core.clock import now
from core.postgres import Postgres
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from ingestion.archive import retention
from ingestion.archive.erasure import erase
from ingestion.archive.manifest import office
from ingestion.archive.months import named, run
from ingestion.archive.restore import into_record, into_warehouse
from ingestion.archive.store import Folder
from ingestion.failpoints import ARROWS, armed
from ingestion.loader import Loader
from tests.ingestion.archive.world import facts, manifest_balances


def main(url: str, clickhouse: str, folder: str, place: str, what: str, about: str) -> None:
    """`what`: load, look, run, retention, erase (a person), restore-record or restore-warehouse (a month)."""
    warehouse, store = Warehouse(f"chdb://{clickhouse}", threads=1), Folder(Path(folder))
    if what in ("load", "look"):
        asyncio.run(load(url, warehouse) if what == "load" else look(url, warehouse))
        warehouse.close()
        return
    kill = armed(place, lambda: os.kill(os.getpid(), signal.SIGKILL)) if place in ARROWS else nullcontext()
    with office(url) as connection, kill:
        if what == "run":
            problems = [
                step.problem
                for step in run(connection, warehouse, store, Settings(archive_rest_hours=0))
                if step.problem
            ]
            assert not problems, problems
        elif what == "erase":
            erase(connection, warehouse, store, int(about))
        elif what == "retention":
            retention.leave_record(connection, warehouse)
            retention.leave_warehouse(connection, warehouse)
            retention.leave_files(connection, warehouse, store)
        else:
            bring = into_record if what == "restore-record" else into_warehouse
            for month in named(connection, date.fromisoformat(about)):
                bring(connection, warehouse, store, month, now() + timedelta(days=30))
    warehouse.close()


async def load(url: str, warehouse: Warehouse) -> None:
    """Bring everything to ClickHouse."""
    await create_tables(warehouse)
    loader = Loader(url, warehouse, Settings(batch_rows=50))
    await loader.drain()
    await loader.close()


async def look(url: str, warehouse: Warehouse) -> None:
    """Print what ClickHouse holds; the manifest must balance."""
    postgres = Postgres(url, 1)
    await postgres.open()
    await manifest_balances(postgres, warehouse)
    await postgres.close()
    sys.stdout.write(repr(await facts(warehouse)))


if __name__ == "__main__":
    main(*sys.argv[1:])
