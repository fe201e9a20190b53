"""Whether the rolling window of a measure can be made of kept buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.model.catalog import Measure
from engine.model.intervals import parse_interval
from engine.plan.grains import FINER, is_made_of, is_multiple

_TO_DATE = "_to_date"


def window_problem(measure: Measure, kept: Sequence[str]) -> str | None:
    """Why the window cannot be made of buckets of one of the granularities; None where it can, or there is none."""
    window = measure.extra.get("rolling_window")
    if not isinstance(window, Mapping):
        return None
    if not any(_fits(window, granularity) for granularity in kept):
        return f"The window of '{measure.full_name}' is not made of whole buckets of the rollup."
    return None


def _fits(window: Mapping[str, object], kept: str) -> bool:
    if kept not in FINER:
        return False
    kind = str(window.get("type", "fixed"))
    if kind == "to_date":
        return is_made_of(str(window.get("granularity")), None, kept)
    if kind.endswith(_TO_DATE):
        return is_made_of(kind.removesuffix(_TO_DATE), None, kept)
    return all(_step_fits(str(window[side]), kept) for side in ("trailing", "leading") if window.get(side))


def _step_fits(text: str, kept: str) -> bool:
    interval = parse_interval(text)
    return text == "unbounded" or (interval is not None and is_multiple(interval, kept))
