"""Which of other people's cases do not pass, and why (data/pending.yml); what is right where they are wrong
(data/corrected.yml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.asking import comparable

_DATA = Path(__file__).parent / "data"
KINDS = ("later", "differs")
"""What waits for a feature, and what will never pass for a reason."""


@cache
def pending(suite: str, *kinds: str) -> dict[str, str]:
    """Case → reason, of all kinds or of some."""
    known = yaml.safe_load((_DATA / "pending.yml").read_text()) or {}
    found = [(known.get(kind) or {}).get(suite) or {} for kind in kinds or KINDS]
    return {str(case): reason for reasons in found for reason, cases in reasons.items() for case in cases}


@cache
def corrected(suite: str) -> dict[str, dict[str, Any]]:
    """Case → `rows` by hand (in `columns`, where the case has its rows by name) and `because`."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((_DATA / "corrected.yml").read_text()).get(suite) or {}
    return found


def right_rows(suite: str, case: dict[str, Any], recorded: list[Any]) -> list[Any]:
    """The rows to expect: the recorded ones, or those by hand, which must be others."""
    mended = corrected(suite).get(str(case["id"]))
    if mended is None:
        return recorded
    by_hand = [[comparable(value) for value in row] for row in mended["rows"]]
    rows = [dict(zip(mended["columns"], row, strict=True)) if "columns" in mended else row for row in by_hand]
    assert rows != recorded, "the correction says nothing"
    return rows


def parameters(suite: str, cases: list[dict[str, Any]]) -> list[Any]:
    """The cases as pytest parameters; a pending one must fail, or its entry is wrong."""
    reasons = pending(suite)
    return [
        pytest.param(
            case,
            id=str(case["id"]),
            marks=pytest.mark.xfail(strict=True, reason=reasons[case["id"]]) if case["id"] in reasons else (),
        )
        for case in cases
    ]
