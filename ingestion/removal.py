"""Rows are taken out of ClickHouse: at once for readers, from the disk when ClickHouse merges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from clickhouse_connect.driver.client import Client

from core.warehouse import Warehouse
from ingestion.pipelines import Pipeline

_PIECE = 500


def delete(warehouse: Warehouse, pipeline: Pipeline, table: str, keys: Sequence[UUID], where: str = "1") -> None:
    """Take the rows with these ids (and the condition `where`) out of a table; all copies of them."""
    command = f"DELETE FROM {table} WHERE {where} AND {pipeline.key} IN {{keys:Array(UUID)}}"
    for start in range(0, len(keys), _PIECE):
        warehouse.call(partial(_command, command=command, keys=[str(key) for key in keys[start : start + _PIECE]]))


def _command(client: Client, command: str, keys: list[str]) -> None:
    client.command(command, parameters={"keys": keys})
