"""Every question of queries.yml: the engine's answer equals the plain Python one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.asking import comparable, same_rows
from tests.oracle.evaluate import Table
from tests.oracle.members import MEASURES
from tests.semantic_models.installations import Installation

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text())


def cases(world: str) -> list[Any]:
    """The cases of a world; over imported data (700,000 rows of plain Python each) by day only every third."""
    chosen = [case for case in CASES if case.get("world", world) == world]
    return [
        pytest.param(case, id=case["name"], marks=pytest.mark.nightly if world == "imported" and number % 3 else ())
        for number, case in enumerate(chosen)
    ]


@pytest.mark.parametrize("case", cases("made_up"))
def test_the_answer_over_the_made_up_district_is_what_plain_python_counts(
    case: dict[str, Any], made_up: Installation
) -> None:
    ask_both(case, made_up)


@pytest.mark.parametrize("case", cases("imported"))
def test_the_answer_over_imported_data_is_what_plain_python_counts(
    case: dict[str, Any], imported: Installation
) -> None:
    ask_both(case, imported)


def ask_both(case: dict[str, Any], installation: Installation) -> None:
    """The engine's rows and total equal the oracle's."""
    rows, total = installation.ask(case["query"])
    expected = installation.oracle.ask(case["query"])
    check(rows, expected, ordered=case.get("ordered", False))
    if "total" in case["query"]:
        assert total == expected.total


def check(rows: list[dict[str, Any]], expected: Table, *, ordered: bool) -> None:
    """Fails with the rows that differ."""
    assert len(rows) == len(expected.rows)
    names = list(expected.rows[0]) if expected.rows else []
    got = [[row[name] for name in names] for row in rows]
    wanted = [[comparable(row[name]) for name in names] for row in expected.rows]
    if not same_rows(got, wanted, ordered=ordered):
        missing = [row for row in wanted if row not in got][:5]
        extra = [row for row in got if row not in wanted][:5]
        pytest.fail(f"{names}\nexpected {missing}\ngot      {extra}")


def test_every_cube_is_asked() -> None:
    asked = {name.split(".")[0] for case in CASES for name in case["query"].get("measures", [])}
    assert asked >= set(MEASURES)
