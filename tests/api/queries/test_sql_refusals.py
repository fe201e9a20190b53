"""What is told of SQL that is refused: its code, line and column, the nearest names; by all doors that take SQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token

_TABLE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "sql_refusals.yml").read_text(encoding="utf-8"))
_CUBE = "/cubejs-api/v1"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all the cases."""
    return "asyncio"


@pytest.fixture(scope="module")
async def teacher(
    tmp_path_factory: pytest.TempPathFactory, clickhouse_folder: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    """A teacher's client."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.yml").write_text(_TABLE["model"], encoding="utf-8")
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=sql_refusals", threads=2)
    app = application(load_catalog(folder), warehouse)
    async with caller(app, Authorization=token("teacher", school_id=1)) as client:
        yield client
    warehouse.close()


@pytest.mark.parametrize("case", _TABLE["cases"], ids=lambda case: case["sql"][:80])
async def test_a_refusal_tells(case: dict[str, Any], teacher: httpx2.AsyncClient) -> None:
    asked = {"query": case["sql"]}
    answer = await teacher.post(f"{_CUBE}/cubesql", json=asked | {"throwContinueWait": True})
    body = answer.json()
    assert answer.status_code == case.get("status", 400), body
    assert body["code"] == case["code"], body
    if "at" in case:
        assert [body.get("line"), body.get("column")] == case["at"], body
    if "nearest" in case:
        assert body["nearest"][0] == case["nearest"] and case["nearest"] in body["hint"]
    assert case.get("not_near") not in body.get("nearest", ["-"])
    assert not set(case.get("without", ())) & set(body), body
    assert "path" not in body, body
    await _told_alike(teacher, asked, body, answer.status_code)


async def _told_alike(client: httpx2.AsyncClient, asked: dict[str, Any], body: dict[str, Any], status: int) -> None:
    """A stream tells a fault as its one line; `/convert-query` tells the same as `/cubesql`."""
    stream = await client.post(f"{_CUBE}/cubesql", json=asked)
    assert stream.status_code == (200 if status == 400 else status)
    assert [json.loads(line) for line in stream.text.splitlines()] == [body]
    converted = await client.post(f"{_CUBE}/convert-query", json=asked | {"input": "sql", "output": "rest"})
    assert converted.status_code == status
    assert {key: value for key, value in converted.json().items() if key != "status"} == body
