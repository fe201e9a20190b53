"""The short form of `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import chaos


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [8, pytest.param(300, marks=pytest.mark.nightly)])
async def test_whoever_is_killed_nothing_is_lost_or_doubled(seconds: float, tmp_path: Path) -> None:
    outcome = await chaos(tmp_path, seconds, seed=5)
    assert outcome.ledger.faults == {}
    assert outcome.ledger.acknowledged > 0
    assert outcome.kills.total() >= 2
    assert outcome.recovered > 0 or seconds < 60  # the short form may hit no open batch
