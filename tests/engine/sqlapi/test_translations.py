"""A table of SQL texts and the questions that they become."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import EduError
from engine import Catalog, SecurityContext
from engine.model import load_texts
from engine.sqlapi import translate
from tests.engine.asking import NOW

_TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("translations.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The model of the table."""
    return load_texts({"model.yml": _TABLE["model"]}, strict=True)


@pytest.mark.parametrize("case", _TABLE["cases"], ids=lambda case: case["sql"][:80])
def test_a_text_becomes(case: dict[str, Any], catalog: Catalog) -> None:
    zone = case.get("timezone", "UTC")
    if "error" in case:
        with pytest.raises(EduError) as refused:
            translate(case["sql"], catalog, SecurityContext(), zone, NOW)
        assert refused.value.code == case["error"]
        return
    found = translate(case["sql"], catalog, SecurityContext(), zone, NOW)
    assert {key: value for key, value in found.payload.items() if value != []} == {**case["query"], "timezone": zone}
    later = translate(case["sql"], catalog, SecurityContext(), zone, NOW + timedelta(seconds=59.9))
    assert later.payload == found.payload, "who waits asks again, and must ask the same"
    if "columns" in case:
        assert [each.name for each in found.shown] == case["columns"]
