"""Which batch brought a row is worked out as the loader itself did it, whatever the order of commits."""

from __future__ import annotations

import random

import psycopg
import pytest

from core.postgres import Postgres
from core.warehouse import Warehouse
from ingestion.differences import EVER, NEVER
from ingestion.loader import Loader
from ingestion.pipelines import EVENTS
from ingestion.pruning import prune
from ingestion.replay import read_record
from tests.ingestion.rows import INSERT_EVENT, event
from tests.ingestion.sides import elected


@pytest.mark.parametrize("seed", range(4))
async def test_every_row_is_given_the_batch_that_it_has_in_clickhouse(
    seed: int, postgres_url: str, postgres: Postgres, warehouse: Warehouse, loader: Loader
) -> None:
    chance = random.Random(seed)
    connections = [await psycopg.AsyncConnection.connect(postgres_url) for _ in range(4)]
    for _ in range(60):
        connection = chance.choice(connections)
        action = chance.choices(["insert", "commit", "rollback", "load"], [6, 4, 1, 3])[0]
        if action == "insert":
            for _ in range(chance.choice([1, 5, 70])):
                await connection.execute(INSERT_EVENT, event())
        elif action == "load":
            await loader.load()
        else:
            await (connection.commit() if action == "commit" else connection.rollback())
    for connection in connections:
        await connection.commit()
        await connection.close()
    await loader.drain()
    await loader.load()
    found = await warehouse.query("SELECT toString(event_id), batch FROM events")
    expected = sorted((str(row[0]), int(row[1])) for row in found.result_rows)
    assert worked_out(loader) == expected
    settled = len({batch for _, batch in expected}) // 2
    aged = "update batches set committed_at = now() - interval '30 days' where pipeline = 'events' and id <= %s"
    await postgres.fetch(aged, (settled,))
    prune(elected(loader), 7)
    assert worked_out(loader) == [(key, max(batch, settled)) for key, batch in expected]


def worked_out(loader: Loader) -> list[tuple[str, int]]:
    """The events of the record with the numbers that a replay gives them."""
    pieces = list(read_record(elected(loader), EVENTS, EVER, NEVER))
    rows = [line.rstrip(b"\n").split(b"\t") for piece in pieces for line in piece]
    return sorted((row[0].decode(), int(row[-1])) for row in rows)
