"""Every question of queries.yml: the engine's answer equals the plain Python one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.asking import comparable, same_rows
from tests.oracle.evaluate import Table
from tests.semantic_models.installations import Installation

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text())
WORLDS = [(case, world) for case in CASES for world in ("made_up", "imported") if case.get("world", world) == world]


@pytest.mark.parametrize(("case", "world"), WORLDS, ids=[f"{world}: {case['name']}" for case, world in WORLDS])
def test_the_answer_is_what_plain_python_counts(
    case: dict[str, Any], world: str, request: pytest.FixtureRequest
) -> None:
    installation: Installation = request.getfixturevalue(world)
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
    from tests.oracle.members import MEASURES

    assert asked >= set(MEASURES)
