"""What a refusal of the planner tells: its code, the place in the JSON, the nearest names, Ossie's code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from core.warehouse import Warehouse
from engine.model import load_catalog
from tests.api.queries.conftest import application, caller, token

_TABLE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "refusals.yml").read_text(encoding="utf-8"))


@pytest.fixture
async def teacher(tmp_path: Path, bare_warehouse: Warehouse) -> AsyncIterator[httpx2.AsyncClient]:
    """A teacher's client."""
    (tmp_path / "model.yml").write_text(_TABLE["model"], encoding="utf-8")
    app = application(load_catalog(tmp_path), bare_warehouse)
    async with caller(app, Authorization=token("teacher", school_id=1)) as client:
        yield client


@pytest.mark.parametrize("path", ["load", "sql", "dry-run"])
@pytest.mark.parametrize("case", _TABLE["cases"], ids=lambda case: f"{case['code']} {case['query']}"[:80])
async def test_a_refusal_tells(case: dict[str, Any], path: str, teacher: httpx2.AsyncClient) -> None:
    answer = await teacher.post(f"/cubejs-api/v1/{path}", json={"query": case["query"], "queryType": "multi"})
    body = answer.json()
    assert answer.status_code == case.get("status", 400), body
    assert body["code"] == case["code"], body
    assert body.get("path") == case.get("path"), body
    assert body.get("ossie") == case.get("ossie"), body
    if "nearest" in case:
        assert body["nearest"][0] == case["nearest"] and case["nearest"] in body["hint"]
    assert not set(case.get("without", ())) & set(body), body
