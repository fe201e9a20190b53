"""Every SQL of the how-to asks a question of the product's models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import Catalog, SecurityContext, compile_query, load_catalog
from engine.sqlapi import translate
from tests.engine.asking import NOW, query_of

_ROOT = Path(__file__).resolve().parents[3]
_PAGE = (_ROOT / "docs" / "how-to" / "sql.md").read_text(encoding="utf-8")
_TEXTS = [*re.findall(r"```sql\n(.*?)```", _PAGE, re.DOTALL), *re.findall(r"\"query\": \"(SELECT [^…]*?)\"", _PAGE)]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The product's own models."""
    return load_catalog(_ROOT / "semantic_models")


@pytest.mark.parametrize("text", _TEXTS, ids=lambda text: " ".join(text.split())[:60])
@pytest.mark.parametrize("role", ["operator", "teacher"])
def test_an_example_is_a_question(text: str, role: str, catalog: Catalog) -> None:
    context = SecurityContext(
        frozenset({role}), {"user_id": 1, "school_id": 1, "school_ids": [1], "classroom_ids": [1]}
    )
    translation = translate(text, catalog, context, "UTC", NOW)
    assert compile_query(catalog, query_of(translation.payload), context).sql.startswith(("SELECT", "WITH"))


def test_there_are_examples() -> None:
    assert len(_TEXTS) >= 6
