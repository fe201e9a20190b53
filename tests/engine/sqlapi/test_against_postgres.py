"""The very same SQL, asked of Postgres over a table and of us over a cube on the same rows: the same answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from core.warehouse import Warehouse
from engine import Catalog
from engine.model import load_texts
from tests.engine.asking import command
from tests.engine.sqlapi.asking import ask_sql
from tests.engine.sqlapi.draw_texts import CLICKHOUSE, COLUMNS, MODEL, POSTGRES, rows, texts

_NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"


@pytest.fixture(scope="module")
def sales(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """The table in ClickHouse."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=sql_sales", threads=1)
    command(warehouse, CLICKHOUSE)
    warehouse.call(lambda client: client.insert("sales", [_sent(row) for row in rows()], column_names=COLUMNS))
    yield warehouse
    command(warehouse, "DROP DATABASE sql_sales")
    warehouse.close()


@pytest.fixture(scope="module")
def postgres_sales(postgres_server: str) -> Iterator[psycopg.Connection]:
    """The same table in Postgres."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(POSTGRES)
        marks = ", ".join(["%s"] * len(COLUMNS))
        connection.cursor().executemany(f"insert into sales ({', '.join(COLUMNS)}) values ({marks})", rows())
        yield connection


@settings(
    max_examples=5000 if _NIGHTLY else 250,
    deadline=None,
    derandomize=not _NIGHTLY,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(text=texts())
@pytest.mark.timeout(1800)
def test_a_text_is_answered_as_postgres_answers_it(
    sales: Warehouse, postgres_sales: psycopg.Connection, text: str
) -> None:
    want = [[_comparable(value) for value in row] for row in postgres_sales.execute(text.encode()).fetchall()]
    found = [[_comparable(value) for value in row] for row in ask_sql(sales, _catalog(), text)]
    assert (found if "ORDER BY" in text else sorted(found, key=repr)) == (
        want if "ORDER BY" in text else sorted(want, key=repr)
    ), text


def _catalog() -> Catalog:
    if not _KNOWN:
        _KNOWN.append(load_texts({"model.yml": MODEL}, strict=True))
    return _KNOWN[0]


_KNOWN: list[Catalog] = []


def _sent(row: tuple[Any, ...]) -> list[Any]:
    return [
        datetime.fromisoformat(f"{each}+00:00") if name == "at" and each else each
        for name, each in zip(COLUMNS, row, strict=True)
    ]


def _comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, bool | None):
        return value
    return round(float(value), 9) if isinstance(value, int | float | Decimal) else value
