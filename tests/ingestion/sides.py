"""Both sides of the path, for tests that compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from core.postgres import Postgres
from core.warehouse import Warehouse
from ingestion.failpoints import armed
from ingestion.jobs import read_job, request
from ingestion.loader import Loader
from ingestion.term import Term, connect
from tests.ingestion.rows import INSERT_EVENT, event


async def insert_events(
    postgres: Postgres, count: int, name: str = "content_viewed", occurred_at: datetime | None = None
) -> set[UUID]:
    """Commit some events of a name; their ids."""
    rows = [event(occurred_at=occurred_at) for _ in range(count)]
    statement = INSERT_EVENT.replace("'content_viewed'", f"'{name}'")
    async with postgres.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(statement, rows)
    return {row["event_id"] for row in rows}


async def there(warehouse: Warehouse, table: str = "events", key: str = "event_id") -> Counter[UUID]:
    """The ids in ClickHouse, each with how often."""
    rows = (await warehouse.query(f"SELECT {key}, count() FROM {table} GROUP BY {key}")).result_rows
    return Counter({row[0]: row[1] for row in rows})


def once(ids: set[UUID]) -> Counter[UUID]:
    """Each id once."""
    return Counter(dict.fromkeys(ids, 1))


async def run_job(
    loader: Loader, kind: str, meanwhile: Callable[[], Any] | None = None, **options: Any
) -> dict[str, Any]:
    """Ask for some work and let the loader do it, pass by pass; `meanwhile` is called between the passes."""
    with connect(loader.url) as connection:
        number = request(connection, kind, **options)
        while (job := read_job(connection, number))["state"] in ("requested", "running"):
            await loader.load()
            if meanwhile:
                await meanwhile()
    assert job["state"] == "done", job["result"]
    return dict(job["result"])


def elected(loader: Loader) -> Term:
    """The term of a loader that leads."""
    assert loader._term is not None
    return loader._term


class Crash(Exception):
    """What a fail point throws: nobody catches it."""


def crash() -> None:
    """End this pass as a crash would."""
    raise Crash


__all__ = ["Crash", "armed", "crash", "elected", "insert_events", "once", "run_job", "there"]
