"""The types of columns: read at the first question, read again when tables were altered, done without when unknown."""

from __future__ import annotations

from typing import Any

import pytest

from core.settings import Settings
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext
from engine.model import load_texts
from engine.model.catalog import ColumnType
from engine.model.columns import read_type
from engine.run.columns import OLD, describe, descriptions
from engine.run.engine import Engine
from engine.run.executor import Executor
from tests.engine.asking import command

_MODEL = """
cubes:
  - name: visits
    sql_table: visits
    dimensions:
      - {name: at, sql: at, type: time}
      - {name: room, sql: room, type: string}
    measures: [{name: count, type: count}]
  - name: late
    sql: >
      SELECT v.at AS moved, toString(v.room) AS room FROM {visits.sql()} AS v
      WHERE {FILTER_PARAMS.late.room.filter('v.room')}
    dimensions:
      - {name: moved, sql: moved, type: time}
      - {name: room, sql: room, type: string}
    measures: [{name: count, type: count}]
  - name: mine
    sql: SELECT * FROM visits WHERE {SECURITY_CONTEXT.room.filter('room')}
    dimensions: [{name: at, sql: at, type: time}]
  - name: gone
    sql_table: nowhere
    dimensions: [{name: at, sql: at, type: time}]
"""
_DAYS = {"measures": ["visits.count"], "timeDimensions": [{"dimension": "visits.at", "granularity": "day"}]}
_NOBODY = SecurityContext()


@pytest.fixture
def catalog() -> Catalog:
    """A table, SELECTs over it, and a table that is not there."""
    return load_texts({"visits.yml": _MODEL})


@pytest.fixture
def visits(bare_warehouse: Warehouse) -> Warehouse:
    """Visits at moments."""
    _create(bare_warehouse, "DateTime64(3, 'UTC')")
    return bare_warehouse


def _create(warehouse: Warehouse, kind: str) -> None:
    command(warehouse, "DROP TABLE IF EXISTS visits")
    command(warehouse, f"CREATE TABLE visits (at {kind}, room Enum8('a' = 1, 'b' = 2)) ENGINE = Memory")
    command(warehouse, "INSERT INTO visits VALUES ('2024-03-10', 'a'), ('2024-03-11', 'b')")


def _engine(catalog: Catalog, warehouse: Warehouse) -> Engine:
    settings = Settings(query_threads=2)
    return Engine(catalog, Executor(warehouse, catalog, settings), settings)


def _rows(engine_answer: Any) -> list[list[Any]]:
    return [list(row) for row in zip(*engine_answer.results[0].table.columns, strict=True)]


def test_tables_and_selects_are_described_where_no_caller_decides_what_they_are(
    visits: Warehouse, catalog: Catalog
) -> None:
    types = visits.call(lambda client: describe(client, catalog))
    assert set(descriptions(catalog)) == {"visits", "late", "gone"}
    assert set(types) == {"visits", "late"}
    assert types["visits"]["at"] == types["late"]["moved"] == ColumnType("DateTime64", 3)
    assert types["visits"]["room"].values == {"a", "b"}
    assert types["late"]["room"] == ColumnType("String")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Nullable(Decimal(12, 3))", ColumnType("Decimal", 12, 3)),
        ("DateTime64(6, 'Asia/Kathmandu')", ColumnType("DateTime64", 6)),
        ("LowCardinality(Nullable(String))", ColumnType("String")),
        ("LowCardinality(DateTime)", None),
        (r"Enum8('it\'s' = 1, 'a\\b = 2' = -3)", ColumnType("Enum8", values=frozenset({"it's", "a\\b = 2"}))),
        ("Array(Tuple(a UInt8))", ColumnType("Array")),
    ],
)
def test_types_are_read_from_their_names(text: str, kind: ColumnType | None) -> None:
    assert read_type(text) == kind


async def test_the_first_question_already_knows_them(visits: Warehouse, catalog: Catalog) -> None:
    engine = _engine(catalog, visits)
    blind = engine.compile(engine.normalize(_DAYS), _NOBODY)[0].sql
    answer = await engine.load(_DAYS, _NOBODY)
    told = engine.compile(engine.normalize(_DAYS), _NOBODY)[0].sql
    assert "toDateTime64(visits.at" in blind
    assert "toDateTime64(visits.at" not in told
    assert _rows(answer) == [["2024-03-10T00:00:00.000", "1"], ["2024-03-11T00:00:00.000", "1"]]


async def test_an_altered_table_is_looked_at_again(visits: Warehouse, catalog: Catalog) -> None:
    engine = _engine(catalog, visits)
    first = _rows(await engine.load(_DAYS, _NOBODY))
    _create(visits, "Date")
    engine._known._began -= 10
    assert _rows(await engine.load(_DAYS, _NOBODY, cache="no-cache")) == first


async def test_after_a_rest_the_next_question_knows_a_new_value(visits: Warehouse, catalog: Catalog) -> None:
    engine = _engine(catalog, visits)
    asked = {
        "measures": ["visits.count"],
        "filters": [{"member": "visits.room", "operator": "equals", "values": ["c"]}],
    }
    assert _rows(await engine.load(asked, _NOBODY)) == [["0"]]
    command(visits, "DROP TABLE visits")
    command(visits, "CREATE TABLE visits (at Date, room Enum8('a' = 1, 'b' = 2, 'c' = 3)) ENGINE = Memory")
    command(visits, "INSERT INTO visits VALUES ('2024-03-10', 'c')")
    engine._known._began -= OLD + 1
    assert _rows(await engine.load(asked, _NOBODY, cache="no-cache")) == [["1"]]


async def test_without_types_questions_are_answered_all_the_same(visits: Warehouse, catalog: Catalog) -> None:
    engine = _engine(catalog, visits)

    async def away() -> Any:
        raise RuntimeError("away")

    engine._known._read = away
    assert len(_rows(await engine.load(_DAYS, _NOBODY))) == 2
    assert not engine.catalog.types
