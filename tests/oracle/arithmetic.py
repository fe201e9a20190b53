"""Means, quantiles, variances and correlations by their textbook formulas; None where they are not defined."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None for an empty whole."""
    return None if part is None or not whole else part / whole


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean."""
    return fsum(values) / len(values) if values else None


def quantile(values: Sequence[float], level: float) -> float | None:
    """Linear interpolation between order statistics (Hyndman and Fan's type 7); 0.5 is the usual median."""
    if not values:
        return None
    ordered = sorted(values)
    place = level * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def variance(values: Sequence[float]) -> float | None:
    """The sample variance, divisor n − 1."""
    middle = mean(values)
    if middle is None or len(values) < 2:
        return None
    return fsum((value - middle) ** 2 for value in values) / (len(values) - 1)


def deviation(values: Sequence[float]) -> float | None:
    """The square root of the sample variance."""
    spread = variance(values)
    return None if spread is None else sqrt(spread)


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's r; None if one side does not vary."""
    if len(pairs) < 2:
        return None
    left, right = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
    assert left is not None
    assert right is not None
    across = fsum((x - left) * (y - right) for x, y in pairs)
    spread = fsum((x - left) ** 2 for x, _ in pairs) * fsum((y - right) ** 2 for _, y in pairs)
    return across / sqrt(spread) if spread > 1e-18 else None
