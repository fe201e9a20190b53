"""Semi-joins, states of quantiles and parts read at once give what the plain way gives (one_scan.yml)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from engine.sql.render import SETTINGS
from tests.engine.asking import Row, ask, command, comparable, query_of, same, same_rows, script

_DATA: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "one_scan.yml").read_text())
_TIME = "f.at"
_ZERO = ("f.count", "f.kinds", "f.month_ago", "f.days_ahead", "f.of_all")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The model of the questions."""
    return load_texts({"one_scan.yml": _DATA["model"]}, strict=True)


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """Their tables."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=one_scan", threads=1)
    script(warehouse, _DATA["tables"])
    yield warehouse
    command(warehouse, "DROP DATABASE one_scan")
    warehouse.close()


@pytest.mark.parametrize("case", _DATA["plain"], ids=range(len(_DATA["plain"])))
def test_joined_conditions_and_quantiles_are_those_of_plain_sql(
    case: dict[str, Any], store: Warehouse, catalog: Catalog
) -> None:
    got = [list(row.values()) for row in ask(store, catalog, case["query"])]
    plain = store.call(lambda client: client.query(case["sql"], settings=dict(SETTINGS))).result_rows
    assert same_rows(got, [[comparable(value) for value in row] for row in plain], ordered=False), got


@pytest.mark.parametrize("measures", _DATA["measures"], ids=lambda measures: "+".join(measures))
def test_measures_asked_together_are_those_asked_alone(measures: list[str], store: Warehouse, catalog: Catalog) -> None:
    for query in _questions():
        together = ask(store, catalog, {**query, "measures": measures})
        alone = [ask(store, catalog, {**query, "measures": [measure]}) for measure in measures]
        found = {_key(row): row for row in together}
        assert len(found) == len(together)
        assert set(found) == {_key(row) for rows in alone for row in rows}, query
        for measure, rows in zip(measures, alone, strict=True):
            known = {_key(row): row[measure] for row in rows}
            for key, row in found.items():
                absent = 0.0 if measure in _ZERO else None
                assert same(row[measure], known.get(key, absent)), (query, measure, row, known.get(key))


def _questions() -> Iterator[dict[str, Any]]:
    """Every seventh of all combinations; all grains are among them."""
    axes = (_DATA["dimensions"], _DATA["filters"], _DATA["grains"], _DATA["zones"])
    for number, (dimensions, filters, grain, zone) in enumerate(product(*axes)):
        if number % 7 == 0:
            time = {"dimension": _TIME, "dateRange": ["2023-12-10", "2024-03-20"]}
            yield {
                "dimensions": dimensions,
                "filters": filters,
                "timeDimensions": [{**time, "granularity": grain} if grain else time],
                "timezone": zone,
                "limit": 50000,
            }


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(
        value for name, value in row.items() if name in ("d.name", "g.name", "f.kind") or name.startswith(_TIME)
    )


def test_the_fact_is_read_once(catalog: Catalog) -> None:
    time = {"dimension": _TIME, "dateRange": ["2024-01-01", "2024-03-31"], "granularity": "month"}
    query = {"measures": ["f.count", "f.month_ago"], "dimensions": ["d.name"], "timeDimensions": [time]}
    sql = compile_query(catalog, query_of(query), SecurityContext()).sql
    assert sql.count("FROM f AS f") == 1


def test_a_cube_that_only_filters_is_not_joined(catalog: Catalog) -> None:
    query = {"measures": ["f.count"], "filters": [{"member": "g.name", "operator": "equals", "values": ["north"]}]}
    sql = compile_query(catalog, query_of(query), SecurityContext()).sql
    assert "f.d_id IN (SELECT d.id FROM d AS d FINAL LEFT JOIN g AS g" in sql
    assert "JOIN d " not in sql
