"""Two small helpers that every store of the record uses."""

from __future__ import annotations

from typing import Any

from core.postgres import Connection, Postgres


async def written(connection: Connection, statement: str, values: dict[str, Any]) -> dict[str, Any]:
    """The row of one `insert … returning` or `update … returning`."""
    cursor = await connection.execute(statement, values)
    return (await cursor.fetchall())[0]


async def counted(postgres: Postgres, query: str, values: dict[str, Any]) -> int:
    """The number of `select count(*) as n …`."""
    return int((await postgres.fetch(query, values))[0]["n"])
