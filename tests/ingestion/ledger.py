"""The account of a run: what was acknowledged, what the record holds, what ClickHouse holds, and where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from core.warehouse import Warehouse
from ingestion.dimensions import ENTITIES
from ingestion.pipelines import FACTS, Pipeline


@dataclass(frozen=True)
class Ledger:
    """Counts of rows; all but the first three must be 0.

    lost: acknowledged, not in the record; missing: in the record, not in ClickHouse; double: more than once there;
    phantom: in ClickHouse, not in the record; stale: a row of a dimension that is not the record's newest.
    """

    acknowledged: int
    record: int
    warehouse: int
    lost: int = 0
    missing: int = 0
    double: int = 0
    phantom: int = 0
    stale: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """What is wrong, by kind."""
        counted = asdict(self)
        return {name: counted[name] for name in ("lost", "missing", "double", "phantom", "stale") if counted[name]}


def balance(url: str, warehouse: Warehouse, acknowledged: Iterable[Any] = ()) -> Ledger:
    """Compare the sets of ids; `acknowledged` are ids of events."""
    told = {str(identifier) for identifier in acknowledged}
    with psycopg.connect(url) as connection:
        kept = {pipeline.name: _record_ids(connection, pipeline) for pipeline in FACTS}
        newest = {entity: _record_rows(connection, entity) for entity in ENTITIES}
    there = {pipeline.name: Counter(_warehouse_ids(warehouse, pipeline)) for pipeline in FACTS}
    shown = {entity: _warehouse_rows(warehouse, entity) for entity in ENTITIES}
    return Ledger(
        acknowledged=len(told),
        record=sum(map(len, kept.values())),
        warehouse=sum(ids.total() for ids in there.values()),
        lost=len(told - kept["events"]),
        missing=sum(len(kept[name] - there[name].keys()) for name in kept),
        double=sum(sum(number > 1 for number in ids.values()) for ids in there.values()),
        phantom=sum(len(there[name].keys() - kept[name]) for name in kept),
        stale=sum(len(newest[entity] ^ shown[entity]) for entity in ENTITIES),
    )


def _record_ids(connection: psycopg.Connection[Any], pipeline: Pipeline) -> set[str]:
    return {row[0] for row in connection.execute(f"select {pipeline.key}::text from {pipeline.name}")}


def _record_rows(connection: psycopg.Connection[Any], entity: str) -> set[tuple[Any, ...]]:
    return set(connection.execute(f"select id, version{_content(entity)} from {entity}").fetchall())


def _warehouse_ids(warehouse: Warehouse, pipeline: Pipeline) -> list[str]:
    query = f"SELECT toString({pipeline.key}) FROM {pipeline.name}"
    return [row[0] for row in warehouse.call(lambda client: client.query(query)).result_rows]


def _warehouse_rows(warehouse: Warehouse, entity: str) -> set[tuple[Any, ...]]:
    query = f"SELECT id, version{_content(entity)} FROM {entity} FINAL"
    return set(map(tuple, warehouse.call(lambda client: client.query(query)).result_rows))


def _content(entity: str) -> str:
    """A column that people change."""
    if entity in ("schools", "users", "classrooms"):
        return ", name"
    return ", title" if entity in ("quizzes", "questions") else ""
