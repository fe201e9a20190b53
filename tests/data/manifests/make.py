"""Writes the manifest of this release as SQL, for later releases to recover: `python -m tests.data.manifests.make`.

One committed batch, one that was prepared and half of which is in ClickHouse, rows that nobody has looked at, and a
window that is open. The rows keep their transaction numbers; the cluster's name is filled in by whoever reads it.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from api.health import product_version
from core.embedded import open_stores
from core.settings import Settings
from ingestion.failpoints import armed
from ingestion.loader import Loader
from ingestion.partitions import ensure_ahead
from tests.ingestion.rows import INSERT_EVENT, event

_FOLDER = Path(__file__).resolve().parent
_TABLES = {
    "events": "event_id seq xid school_id event_name schema_version occurred_at received_at props",
    "pipelines": "name done target key_xid key_seq epoch",
    "batches": "pipeline id done target lo_xid lo_seq hi_xid hi_seq rows fingerprint attempt state",
}


class _Crash(Exception):
    pass


def _second_time() -> None:
    _second_time.__dict__["times"] = times = _second_time.__dict__.get("times", 0) + 1
    if times == 2:
        raise _Crash


async def _make() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_stores(Settings(data_dir=Path(folder), batch_rows=10)) as stores:
            async with stores.postgres.transaction() as connection:
                await ensure_ahead(connection)
            for _ in range(5):
                async with stores.postgres.transaction() as connection, connection.cursor() as cursor:
                    await cursor.executemany(INSERT_EVENT, [event() for _ in range(5)])
            loader = Loader(stores.postgres, stores.warehouse, stores.settings)
            with armed("inserted", _second_time), suppress(_Crash):
                await loader.load()
            await loader.close()
            lines = [_dump(stores.postgres.url, table, names.split()) for table, names in _TABLES.items()]
            kept = await stores.warehouse.query(
                "SELECT toString(event_id), batch FROM events WHERE batch = 1 OR cityHash64(event_id) % 2 = 0"
            )
    name = product_version()
    (_FOLDER / f"{name}.sql").write_text("\n".join(lines) + "\n")
    rows = sorted((batch, identifier) for identifier, batch in kept.result_rows)
    (_FOLDER / f"{name}.tsv").write_text("".join(f"{identifier}\t{batch}\n" for batch, identifier in rows))


def _dump(url: str, table: str, names: list[str]) -> str:
    values = ", ".join(f"{name}::text" for name in names)
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        rows = connection.execute(f"select {values} from {table} order by 1, 2").fetchall()
        quoted = [", ".join(sql.Literal(value).as_string(connection) for value in row) for row in rows]
    head = f"insert into {table} ({', '.join(names)}) overriding system value values"
    return f"{head}\n" + ",\n".join(f"({line})" for line in quoted) + ";"


if __name__ == "__main__":
    asyncio.run(_make())
