"""Rows leave ClickHouse for good: the batches that brought them are told, so that audits go on to balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.warehouse import Warehouse
from ingestion.archive.layout import Fact, id_fingerprint
from ingestion.archive.scratch import Sums
from ingestion.batches import Blocking

_READ = "select rows, fingerprint from batches where pipeline = %s and id = %s and state = 'committed' for update"
_WRITE = "update batches set rows = %s, fingerprint = %s where pipeline = %s and id = %s"
_LOCK = "select name from pipelines where name = %s for update"
_PREPARED = "select id from batches where pipeline = %s and state = 'prepared'"


def batch_sums(warehouse: Warehouse, fact: Fact, where: str, parameters: Mapping[str, Any]) -> dict[int, Sums]:
    """Rows and fingerprint of what ClickHouse holds under a condition, by batch."""
    query = f"SELECT batch, count(), {id_fingerprint(fact.key)} FROM {fact.table} WHERE {where} GROUP BY batch"
    found = warehouse.call(lambda client: client.query(query, parameters=dict(parameters)))
    return {row[0]: Sums(row[1], row[2]) for row in found.result_rows}


def under_way(connection: Blocking, fact: Fact) -> set[int]:
    """The batch that is on its way now, if there is one; the pipeline waits until the caller's transaction ends."""
    connection.execute(_LOCK, (fact.table,))
    return {row["id"] for row in connection.execute(_PREPARED, (fact.table,)).fetchall()}


def subtract(connection: Blocking, fact: Fact, sums: Mapping[int, Sums]) -> None:
    """Take rows from the manifest within the caller's transaction; batches pruned or discarded are passed over."""
    for batch, each in sums.items():
        row = connection.execute(_READ, (fact.table, batch)).fetchone()
        if row:
            rest = int(row["fingerprint"]) ^ each.fingerprint
            connection.execute(_WRITE, (row["rows"] - each.rows, rest, fact.table, batch))
