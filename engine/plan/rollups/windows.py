"""Whether the rolling window of a measure can be made of kept buckets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.model.catalog import Measure
from engine.model.stages import RollingWindow
from engine.model.terms import Interval
from engine.plan.rollups.grains import FINER, is_made_of, is_multiple


def window_problem(measure: Measure, kept: Sequence[str]) -> str | None:
    """Why the window cannot be made of buckets of one of the granularities; None where it can, or there is none."""
    window = measure.window
    if window is None or any(_fits(window, granularity) for granularity in kept):
        return None
    return f"The window of '{measure.full_name}' is not made of whole buckets of the rollup."


def _fits(window: RollingWindow, kept: str) -> bool:
    if kept not in FINER:
        return False
    if window.kind == "to_date":
        return is_made_of(str(window.granularity), None, kept)
    return window.kind == "running" or all(_step_fits(side, kept) for side in (window.trailing, window.leading))


def _step_fits(side: Interval | Literal["unbounded"] | None, kept: str) -> bool:
    return not isinstance(side, Interval) or is_multiple(side, kept)
