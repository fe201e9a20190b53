"""The same client code speaks to ClickHouse in process and to a ClickHouse server."""

from __future__ import annotations

import pytest

from core.errors import BadInput, Unavailable
from core.tables import create_tables
from core.warehouse import Warehouse


async def test_tables_inserts_and_bound_values_over_http(clickhouse_url: str) -> None:
    warehouse = Warehouse(clickhouse_url, threads=2)
    await create_tables(warehouse)
    await create_tables(warehouse)
    await warehouse.insert("quiz_questions", ["id", "quiz_id", "version"], [[1, 7, 1], [1, 8, 2], [2, 9, 1]])
    result = await warehouse.query(
        "SELECT id, quiz_id FROM quiz_questions FINAL WHERE quiz_id > {least:Int64} ORDER BY id", {"least": 7}
    )
    assert result.result_rows == [(1, 8), (2, 9)]
    with pytest.raises(BadInput, match="no_such_table"):
        await warehouse.query("SELECT 1 FROM no_such_table")
    warehouse.close()


async def test_an_absent_server_is_unavailable() -> None:
    warehouse = Warehouse("http://127.0.0.1:1/default", threads=1)
    with pytest.raises(Unavailable):
        await warehouse.query("SELECT 1")
    warehouse.close()
