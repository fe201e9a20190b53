"""Which of other people's cases do not pass yet, and why (tests/engine/data/pending.yml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

_FILE = Path(__file__).parent / "data" / "pending.yml"


@cache
def pending(suite: str) -> dict[str, str]:
    """Case → reason."""
    known = yaml.safe_load(_FILE.read_text()) or {}
    return {str(case): reason for reason, cases in (known.get(suite) or {}).items() for case in cases}


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
