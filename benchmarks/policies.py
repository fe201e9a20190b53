"""What row-level access costs: in planning, and in rows read beside the rows that the caller may see.

    python -m benchmarks.policies

Planning: the same new shapes of questions with the product's policies and with the models stripped of them, in turn.
Reading: ClickHouse's own estimate of the rows that each role's question reads, over two million answers.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from statistics import median

from benchmarks.table import percentile, show
from core.clock import now
from core.collector import settle
from core.tables import create_tables
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, compile_query, load_catalog
from engine.query.normalisation import normalize

_MODELS = Path(__file__).resolve().parent.parent / "semantic_models"
_ROOMS, _PUPILS = 40, 25
_SCHOOL = {"school_id": 7, "school_ids": [7]}
_CALLERS = {
    "student": {"user_id": 7_007_007, "classroom_ids": [7_007], "student_ids": [7_007_007], **_SCHOOL},
    "teacher": {"user_id": 1, "classroom_ids": [7_003, 7_004], "student_ids": list(range(60)), **_SCHOOL},
    "admin": {"user_id": 1, **_SCHOOL},
    "analyst": {"user_id": 1, "school_ids": [7, 8, 30], "pseudonym_key": "0" * 32},
}
_FILL = """
INSERT INTO responses SELECT generateUUIDv4(), school, school * 1000 + room, number, 1, 1, number % 20,
  school * 1000000 + room * 1000 + pupil, 1, 'A', number % 3 = 0, number % 3, 5000,
  toDateTime64('2025-10-01 08:00:00', 3, 'UTC') + number % 2000000, now64(3), 1
FROM (
  SELECT number, number % 50 AS school, intDiv(number, 50) % {rooms} AS room, intDiv(number, 2000) % {pupils} AS pupil
  FROM numbers(2000000)
)
"""
_SHARE = """
INSERT INTO users (id, school_id, shared, version)
SELECT school * 1000000 + room * 1000 + pupil, school, 1, 1 FROM (
  SELECT number % 50 AS school, intDiv(number, 50) % {rooms} AS room, intDiv(number, 2000) % {pupils} AS pupil
  FROM numbers(50000)
)
"""


def _shapes() -> Iterator[Query]:
    """New measures and dimensions with each one; two joins, month grain, one filter."""
    measures = permutations(("count", "accuracy", "average_score", "graded_count", "correct_count", "wrong_count"), 2)
    dimensions = permutations(("schools.name", "quizzes.subject", "classrooms.name", "quizzes.title"), 2)
    for chosen, grouped in product(measures, dimensions):
        payload = {
            "measures": [f"responses.{name}" for name in chosen],
            "dimensions": list(grouped),
            "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": "month"}],
            "filters": [{"member": "responses.attempt_number", "operator": "lte", "values": ["2"]}],
        }
        yield normalize(payload, now=now(), default_time_zone="UTC").queries[0]


def _bare(catalog: Catalog) -> Catalog:
    """The same models without policies."""
    cubes = {name: replace(cube, policies=(), tenant=None) for name, cube in catalog.cubes.items()}
    views = {name: replace(view, policies=()) for name, view in catalog.views.items()}
    return replace(catalog, cubes=cubes, views=views)


def _planning() -> list[tuple[object, ...]]:
    """Milliseconds of a new shape with and without policies, and the share of the policies."""
    rows: list[tuple[object, ...]] = []
    for role, attributes in _CALLERS.items():
        context = SecurityContext(frozenset({role}), attributes)
        catalogs = (load_catalog(_MODELS), _bare(load_catalog(_MODELS)))
        settle()
        times: tuple[list[float], list[float]] = ([], [])
        for query in _shapes():
            for catalog, found in zip(catalogs, times, strict=True):
                began = time.thread_time()
                compile_query(catalog, query, context)
                found.append((time.thread_time() - began) * 1000)
        with_policies, without = median(times[0]), median(times[1])
        share = (with_policies - without) / with_policies
        rows.append((role, with_policies, without, f"{share:.0%}", percentile(times[0], 0.95)))
    return rows


async def _reading(warehouse: Warehouse) -> list[tuple[object, ...]]:
    """Rows read by each role's question beside those that he may see, and those of everybody."""
    await create_tables(warehouse)
    await warehouse.command(_FILL.format(rooms=_ROOMS, pupils=_PUPILS))
    await warehouse.command(_SHARE.format(rooms=_ROOMS, pupils=_PUPILS))
    await warehouse.command("OPTIMIZE TABLE responses FINAL")
    catalog = load_catalog(_MODELS)
    payload = {"measures": ["responses.count", "responses.accuracy"], "dimensions": ["responses.quiz_id"]}
    query = normalize(payload, now=now(), default_time_zone="UTC").queries[0]
    every = 2_000_000
    rows: list[tuple[object, ...]] = []
    for role, attributes in _CALLERS.items():
        statement = compile_query(catalog, query, SecurityContext(frozenset({role}), attributes))
        estimate = await warehouse.query(f"EXPLAIN ESTIMATE {statement.sql}", dict(statement.parameters))
        read = sum(int(row[3]) for row in estimate.result_rows)
        answer = await warehouse.query(statement.sql, dict(statement.parameters))
        allowed = sum(int(row[1]) for row in answer.result_rows)
        rows.append((role, allowed, read, read / max(1, allowed), f"{read / every:.1%}"))
    return rows


def main() -> None:
    """Print both tables."""
    show("Planning a new shape, ms", ["caller", "with policies", "without", "share", "p95"], _planning())
    folder = Path(tempfile.mkdtemp())
    try:
        warehouse = Warehouse(f"chdb://{folder}?database=policies", threads=1)
        rows = asyncio.run(_reading(warehouse))
        warehouse.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    columns = ["caller", "rows allowed", "rows read", "read / allowed", "of all rows"]
    show("Reading two million answers behind row filters", columns, rows)


if __name__ == "__main__":
    main()
