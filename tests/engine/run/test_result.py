"""Every type of ClickHouse as a JSON value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.settings import Settings
from core.warehouse import Warehouse
from engine.model.catalog import Catalog
from engine.query.request import Query
from engine.run.executor import Executor
from engine.run.result import LARGE_CELLS, Result, Table, _decimal
from engine.sql.statement import Column, Statement

VALUES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "values.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", ["{}", "CAST({} AS Nullable)", "materialize({})"])
async def test_every_type_has_its_json_value(bare_warehouse: Warehouse, form: str) -> None:
    wanted = {sql: value for sql, value in VALUES.items() if form != "CAST({} AS Nullable)" or _may_be_null(sql)}
    forms = [form if "Nullable)" not in form else "toNullable({})" for _ in wanted]
    columns = tuple(Column(f"c{index}", "dimension", "string", f"c{index}") for index in range(len(wanted)))
    sql = "SELECT " + ", ".join(
        f"{each.format(text)} AS c{index}" for index, (each, text) in enumerate(zip(forms, wanted, strict=True))
    )
    run = Executor(bare_warehouse, Catalog({}, {}, {}, {}), Settings(query_threads=1))
    table = await run.run(Statement(sql, {}, columns, {"session_timezone": "UTC"}))
    found = {text: values[0] for text, values in zip(wanted, table.columns, strict=True)}
    assert found == wanted
    json.dumps(found, allow_nan=False)


async def test_a_column_that_the_model_calls_boolean_has_booleans(bare_warehouse: Warehouse) -> None:
    run = Executor(bare_warehouse, Catalog({}, {}, {}, {}), Settings(query_threads=1))
    columns = (Column("b", "measure", "boolean", "b"),)
    table = await run.run(Statement("SELECT arrayJoin([1, 0, NULL]) AS b", {}, columns, {}))
    assert table.columns == ([True, False, None],)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_every_digit(value: Decimal) -> None:
    assert Decimal(str(_decimal(value))) == value


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=20), st.booleans())
def test_the_three_forms_hold_the_same_rows(rows: list[tuple[str, str | None]], compared: bool) -> None:
    columns = (Column("a.t.day", "time_dimension", "time", "t", "day"), Column("a.n", "measure", "number", "n"))
    table = Table(tuple([list(each) for each in zip(*rows, strict=True)] or [[], []]), datetime(2024, 1, 1, tzinfo=UTC))
    constants = (("compareDateRange", "x - y"),) if compared else ()

    def read(form: str) -> Any:
        result = Result(
            Query(response_format=form), {}, columns, table, {}, None, constants, (("time.day", "a.t.day"),)
        )
        return orjson.loads(orjson.dumps(result.data()))

    default, compact, columnar = read("default"), read("compact"), read("columnar")
    members = ["a.t.day", "a.n", "a.t", *(["compareDateRange"] if compared else []), "time.day"]
    assert compact["members"] == columnar["members"] == members
    assert [dict(zip(members, row, strict=True)) for row in compact["dataset"]] == default
    assert [dict(zip(members, row, strict=True)) for row in zip(*columnar["columns"], strict=True)] == default


@pytest.mark.parametrize("form", ["default", "compact", "columnar"])
@pytest.mark.parametrize("rows", [499, 500, 501, 6_000])
def test_an_answer_written_in_pieces_is_the_same_and_large_until_it_is_written(form: str, rows: int) -> None:
    numbers = [str(number) for number in range(rows)]
    table = Table((numbers,), datetime(2024, 1, 1, tzinfo=UTC))
    result = Result(Query(response_format=form), {}, (Column("a.n", "measure", "number", "n"),), table, {})
    assert result.is_large == (rows > LARGE_CELLS)
    found = orjson.loads(orjson.dumps(result.data()))
    wanted = {
        "default": [{"a.n": number} for number in numbers],
        "compact": {"members": ["a.n"], "dataset": [[number] for number in numbers]},
        "columnar": {"members": ["a.n"], "columns": [numbers]},
    }
    assert found == wanted[form]
    assert not result.is_large


def _may_be_null(sql: str) -> bool:
    return not sql.startswith(("[", "map(", "tuple(", "NULL"))
