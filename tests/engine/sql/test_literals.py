"""Literals beside columns of known types: exact, and never an error in ClickHouse's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import InvalidQuery
from core.warehouse import Warehouse
from engine import Catalog
from engine.model import load_texts
from engine.model.columns import typed
from engine.run.columns import describe
from tests.engine.asking import ask, command

_IDS = [1, 2**64 - 1, 2**53 + 1]
_CASES = yaml.safe_load((Path(__file__).parent / "literals.yml").read_text())
_MODEL = """
cubes:
  - name: results
    sql_table: results
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: level, sql: level, type: string}
      - {name: key, sql: key, type: string}
      - {name: points, sql: points, type: number}
      - {name: rank, sql: rank, type: number}
      - {name: place, sql: rank, type: string}
views:
  - name: seen
    cubes: [{join_path: results, includes: '*'}]
"""


@pytest.fixture(scope="module")
def results(clickhouse_folder: Path) -> Any:
    """The rows, and the model with the types that ClickHouse tells."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=literals", threads=1)
    command(
        warehouse,
        "CREATE TABLE results (id UInt64, level Nullable(Enum8('low' = 1, 'it\\'s' = 2)), key Nullable(UUID),"
        " points Nullable(Decimal(12, 3)), rank Nullable(Int32)) ENGINE = MergeTree ORDER BY id",
    )
    command(
        warehouse,
        f"INSERT INTO results VALUES ({_IDS[0]}, 'low', '61f0c404-5cb3-11e7-907b-a6006ad3dba0', 0.1, 5),"
        f" ({_IDS[1]}, 'it\\'s', NULL, 0, NULL), ({_IDS[2]}, NULL, NULL, 999999999.999, -2)",
    )
    catalog = load_texts({"results.yml": _MODEL}, strict=True)
    yield warehouse, typed(catalog, warehouse.call(lambda client: describe(client, catalog)))
    command(warehouse, "DROP DATABASE literals")
    warehouse.close()


@pytest.mark.parametrize("face", ["results", "seen"])
@pytest.mark.parametrize(("member", "operator", "values", "found"), _CASES)
def test_a_literal_finds_what_is_equal_to_it(
    results: tuple[Warehouse, Catalog], member: str, operator: str, values: list[str], found: Any, face: str
) -> None:
    query = {
        "dimensions": [f"{face}.id"],
        "filters": [{"member": f"{face}.{member}", "operator": operator, "values": [v and str(v) for v in values]}],
    }
    if found == "refused":
        with pytest.raises(InvalidQuery, match="cannot be compared"):
            ask(*results, query)
        return
    ids = [int(row[f"{face}.id"]) for row in ask(*results, query)]
    assert sorted(_IDS.index(each) for each in ids) == found
