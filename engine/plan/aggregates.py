"""The types of measures: their aggregates, and which of them add up."""

from __future__ import annotations

ADDITIVE = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}
"""Types of leaves whose values over groups give the value over all of them, and by which aggregate."""
FUNCTIONS = {
    "sum": "sum",
    "running_total": "sum",
    "avg": "avg",
    "min": "min",
    "max": "max",
    "count": "count",
    "count_distinct": "uniqExact",
    "count_distinct_approx": "uniq",
}
"""ClickHouse's aggregate for each type of measure."""
COUNTED = ("count", "count_distinct", "count_distinct_approx")
"""Types that are 0 over no rows."""
