"""Planning: a distinct question, a known shape with new literals, loading the models; bound: sqlglot's own generate."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import sqlglot

from benchmarks.table import percentile, show
from core.clock import now
from engine import SecurityContext, Statement, compile_query, load_catalog
from engine.model import Catalog
from engine.query.normalisation import normalize

_MODELS = Path(__file__).resolve().parent.parent / "semantic_models"
_OPERATOR = SecurityContext(groups=frozenset({"operator"}), attributes={})
_TEACHER = SecurityContext(
    groups=frozenset({"teacher"}),
    attributes={"user_id": 7, "school_id": 1, "classroom_ids": [1, 2], "student_ids": list(range(60))},
)


def _timed(work: Callable[[int], object], rounds: int) -> list[float]:
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _ask(catalog: Catalog, limit: int, context: SecurityContext) -> Statement:
    """Two measures, two dimensions over a join, month grain, one filter whose literal is `limit`."""
    payload = {
        "measures": ["responses.count", "responses.accuracy"],
        "dimensions": ["schools.name", "quizzes.subject"],
        "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": "month"}],
        "filters": [{"member": "responses.attempt_number", "operator": "lte", "values": [str(limit)]}],
    }
    request = normalize(payload, now=now(), default_time_zone="UTC")
    return compile_query(catalog, request.queries[0], context)


def _fresh(context: SecurityContext) -> Callable[[int], object]:
    catalogs = (load_catalog(_MODELS) for _ in count())
    ready = [next(catalogs) for _ in range(30)]
    for catalog in ready:
        _ask(catalog, 1, SecurityContext(groups=frozenset({"admin"}), attributes={"school_id": 1}))
    return lambda number: _ask(ready[number], number, context)


def main() -> None:
    """Print the table."""
    catalog = load_catalog(_MODELS)
    statement = _ask(catalog, 1, _TEACHER)
    tree = sqlglot.parse_one(statement.sql, read="clickhouse")
    floor = median(_timed(lambda _: tree.sql(dialect="clickhouse"), 200))
    measured = {
        "distinct shape, operator": _timed(_fresh(_OPERATOR), 30),
        "distinct shape, teacher (row filters)": _timed(_fresh(_TEACHER), 30),
        "known shape, new literal, teacher": _timed(lambda number: _ask(catalog, number, _TEACHER), 2000),
        "load the models (16 cubes, 4 views)": _timed(lambda _: load_catalog(_MODELS), 5),
    }
    rows = [(what, median(ms), percentile(ms, 0.95), median(ms) / floor) for what, ms in measured.items()]
    rows.append(("bound: generate the same SQL once", floor, floor, 1.0))
    show("Normalise, plan and render, ms", ["what", "p50", "p95", "to the bound"], rows)


if __name__ == "__main__":
    main()
