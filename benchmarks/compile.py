"""Planning: distinct questions, known shapes, loading and importing, small and large; bound: sqlglot's own generate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import permutations, product
from pathlib import Path
from statistics import median

import sqlglot

from benchmarks.large_catalog import MEMBERS, texts
from benchmarks.table import percentile, show
from core.clock import now
from core.collector import settle
from engine import SecurityContext, Statement, compile_query, load_catalog
from engine.model import Catalog, load_texts
from engine.query.normalisation import normalize

_MODELS = Path(__file__).resolve().parent.parent / "semantic_models"
_OPERATOR = SecurityContext(groups=frozenset({"operator"}), attributes={})
_TEACHER = SecurityContext(
    groups=frozenset({"teacher"}),
    attributes={
        "user_id": 7,
        "school_id": 1,
        "school_ids": [1],
        "classroom_ids": [1, 2],
        "student_ids": list(range(60)),
    },
)


def _timed(work: Callable[[int], object], rounds: int) -> list[float]:
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _ask(
    catalog: Catalog,
    limit: int,
    context: SecurityContext,
    measures: Sequence[str] = ("responses.count", "responses.accuracy"),
    dimensions: Sequence[str] = ("schools.name", "quizzes.subject"),
) -> Statement:
    """Two measures, two dimensions over a join, month grain, one filter whose literal is `limit`."""
    payload = {
        "measures": list(measures),
        "dimensions": list(dimensions),
        "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": "month"}],
        "filters": [{"member": "responses.attempt_number", "operator": "lte", "values": [str(limit)]}],
    }
    request = normalize(payload, now=now(), default_time_zone="UTC")
    return compile_query(catalog, request.queries[0], context)


def _distinct(catalog: Catalog, context: SecurityContext) -> Callable[[int], object]:
    """A new shape with each call: other measures and dimensions, the rest as in `_ask`."""
    measures = permutations(("count", "accuracy", "average_score", "graded_count", "correct_count", "wrong_count"), 2)
    dimensions = permutations(("schools.name", "quizzes.subject", "classrooms.name", "quizzes.title"), 2)
    shapes = list(product(measures, dimensions))

    def ask(number: int) -> Statement:
        chosen, grouped = shapes[number]
        return _ask(catalog, number, context, [f"responses.{name}" for name in chosen], list(grouped))

    return ask


def _pairs(catalog: Catalog) -> Callable[[int], object]:
    """A new pair of columns with each call, of cubes that every made-up catalog has."""
    pairs = list(permutations([f"cube_1.column_{number}" for number in range(3, 28, 4)], 2))

    def ask(number: int) -> object:
        payload = {
            "measures": ["cube_0.count", "cube_0.total_3"],
            "dimensions": pairs[number],
            "timeDimensions": [{"dimension": "cube_0.at_0", "granularity": "month"}],
            "filters": [{"member": "cube_0.id", "operator": "lte", "values": [str(number)]}],
        }
        request = normalize(payload, now=now(), default_time_zone="UTC")
        return compile_query(catalog, request.queries[0], _OPERATOR)

    return ask


def _sizes() -> dict[str, list[float]]:
    """Loading and compiling with 3 cubes and with 200."""
    found = {}
    for cubes in (3, 200):
        files, size = texts(cubes), f"{cubes * MEMBERS:,} members"
        found[f"{size}: load"] = _timed(lambda _, files=files: load_texts(files), 5)  # type: ignore[misc]
        ask = _pairs(load_texts(files))
        ask(41)
        found[f"{size}: distinct shape"] = _timed(ask, 40)
    return found


def _imports() -> list[float]:
    """`import engine` in a new process, from bytecode on a warm disk."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", "import engine"]
    return _timed(lambda _: subprocess.run(command, check=True, env=environment), 6)[1:]


def main() -> None:
    """Print the table."""
    catalog = load_catalog(_MODELS)
    settle()
    statement = _ask(catalog, 1, _TEACHER)
    tree = sqlglot.parse_one(statement.sql, read="clickhouse")
    floor = median(_timed(lambda _: tree.sql(dialect="clickhouse"), 200))
    measured = {
        "distinct shape, operator": _timed(_distinct(catalog, _OPERATOR), 300),
        "distinct shape, teacher (row filters)": _timed(_distinct(catalog, _TEACHER), 300),
        "known shape, new literal, teacher": _timed(lambda number: _ask(catalog, number, _TEACHER), 2000),
        "load the models (16 cubes, 4 views)": _timed(lambda _: load_catalog(_MODELS), 5),
        **_sizes(),
        "import engine (a process of its own)": _imports(),
    }
    rows = [(what, median(ms), percentile(ms, 0.95), median(ms) / floor) for what, ms in measured.items()]
    rows.append(("bound: generate the same SQL once", floor, floor, 1.0))
    show("Normalise, plan and render, ms", ["what", "p50", "p95", "to the bound"], rows)


if __name__ == "__main__":
    main()
