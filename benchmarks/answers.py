"""Planned SQL against the best SQL written by hand for the same rows, over ten million answers.

    python -m benchmarks.answers [PART OF A NAME …]

The questions and the hand-written SQL are in `answers.yml`; the rows must be equal, then both run in turn. What the
engine does not answer is left out with its reason. Ratios are of the fastest runs: other work on the machine only adds.
"""

from __future__ import annotations

import asyncio
import gc
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import starmap
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from clickhouse_connect.driver.client import Client

from benchmarks.large_district import LARGE, fill
from benchmarks.table import show
from core.errors import Unanswerable
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, Statement, compile_query, load_catalog
from engine.model.columns import typed
from engine.query.normalisation import normalize
from engine.run.columns import read_types

_HERE = Path(__file__).resolve().parent
_MODELS = _HERE.parent / "semantic_models"
_RUNS = 9
_TOLERANCE = 1e-6
_OPERATOR = SecurityContext(frozenset({"operator"}))
_BARE = {"session_timezone": "UTC"}


@dataclass(frozen=True)
class Sql:
    """A SELECT, its parameters and its settings."""

    text: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, client: Client) -> list[tuple[Any, ...]]:
        """Its rows."""
        result = client.query(self.text, parameters=dict(self.parameters), settings={**_BARE, **self.settings})
        return [tuple(row) for row in result.result_rows]


class Workload:
    """The questions as statements over one catalog and its callers."""

    def __init__(self, catalog: Catalog, teacher: SecurityContext) -> None:
        self.catalog = catalog
        self.callers = {"operator": _OPERATOR, "teacher": teacher}
        self._named = {
            "classrooms": teacher.attributes.get("classroom_ids"),
            "students": teacher.attributes.get("student_ids"),
        }

    def planned(self, query: Mapping[str, Any], caller: str = "operator") -> list[Sql]:
        """The engine's SQL: of the rows, and of their total where the query asks for it."""
        asked = normalize(query, now=datetime(2026, 4, 1, tzinfo=UTC), default_time_zone="UTC").queries[0]
        statement: Statement = compile_query(self.catalog, asked, self.callers[caller])
        texts = [statement.sql, *([statement.total] if asked.total and statement.total else [])]
        return [Sql(text, statement.parameters, statement.settings) for text in texts]

    def by_hand(self, case: Mapping[str, Any]) -> list[Sql]:
        """The hand-written SQL of a case."""
        named = self._named if "caller" in case else {}
        return [Sql(case[key], named, case.get("settings", {})) for key in ("sql", "total") if key in case]


def check_equal(ours: Sequence[tuple[Any, ...]], theirs: Sequence[tuple[Any, ...]], name: str) -> None:
    """Exit unless both are the same rows in any order; numbers may differ by a millionth."""
    if len(ours) != len(theirs):
        sys.exit(f"{name}: {len(ours)} planned rows, {len(theirs)} by hand.")
    for one, other in zip(_sorted(ours), _sorted(theirs), strict=True):
        if not all(starmap(_same, zip(one, other, strict=True))):
            sys.exit(f"{name}: planned {one}, by hand {other}.")


def _sorted(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return sorted(
        ([_plain(value) for value in row] for row in rows),
        key=lambda row: [f"{value:.5g}" if isinstance(value, float) else str(value) for value in row],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00.000"
    return value if value is None or isinstance(value, str | bool) else float(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(one == other)


def _in_turn(client: Client, ways: Sequence[Sequence[Sql]]) -> list[list[float]]:
    """Milliseconds of each way's statements together, one way after the other, `_RUNS` times."""
    times: list[list[float]] = [[] for _ in ways]
    gc.disable()
    for _ in range(_RUNS):
        for own, statements in zip(times, ways, strict=True):
            began = time.perf_counter()
            for statement in statements:
                statement.run(client)
            own.append((time.perf_counter() - began) * 1000)
    gc.enable()
    return times


def _compared(client: Client, workload: Workload, case: Mapping[str, Any]) -> list[object]:
    name = str(case["name"])
    try:
        ours = workload.planned(case["query"], case.get("caller", "operator"))
    except Unanswerable as error:
        return [name, "", "", "", "", "", f"left out: {error.message}"]
    theirs = workload.by_hand(case)
    for planned, by_hand in zip(ours, theirs, strict=True):
        rows = planned.run(client)
        check_equal(rows, by_hand.run(client), name)
    mine, hand = _in_turn(client, [ours, theirs])
    return [name, min(mine), median(mine), min(hand), median(hand), min(mine) / min(hand), len(ours[0].run(client))]


def _facts(client: Client, workload: Workload, case: Mapping[str, Any]) -> list[object]:
    """A question of several facts beside the sum of each fact asked alone."""
    ways = [workload.planned(case["query"]), *(workload.planned(query) for query in case["apart"])]
    together, *apart = (min(times) for times in _in_turn(client, ways))
    return [case["name"], together, sum(apart), together / sum(apart)]


def _measure(client: Client, workload: Workload, cases: Sequence[Mapping[str, Any]], counted: int) -> None:
    columns = ["", "planned min", "p50", "by hand min", "p50", "ratio", "rows"]
    title = f"Planned SQL against SQL by hand, {counted:,} answers, ms, {_RUNS} runs each in turn (bound 1.1)"
    show(title, columns, [_compared(client, workload, case) for case in cases])
    several = [_facts(client, workload, case) for case in cases if "apart" in case]
    if several:
        show("Several facts, ms (bound 1.5)", ["", "together", "sum of the facts alone", "ratio"], several)


def _teacher(client: Client) -> SecurityContext:
    """A teacher of two classrooms in the middle of the district."""
    classrooms = [
        row[0] for row in client.query("SELECT id FROM classrooms FINAL ORDER BY id LIMIT 400, 2").result_rows
    ]
    students = client.query(
        "SELECT DISTINCT user_id FROM enrolments FINAL WHERE classroom_id IN {ids:Array(Int64)} ORDER BY user_id",
        parameters={"ids": classrooms},
    ).result_rows
    attributes = {"user_id": 1, "classroom_ids": classrooms, "student_ids": [row[0] for row in students]}
    school = client.query("SELECT school_id FROM classrooms FINAL WHERE id = {id:Int64}", {"id": classrooms[0]})
    return SecurityContext(
        frozenset({"teacher"}),
        {**attributes, "school_id": school.result_rows[0][0], "school_ids": [school.result_rows[0][0]]},
    )


def load_model(folder: Path) -> Catalog:
    """The product's models with the measures of `answers_model.yml` beside them."""
    models = folder / "models"
    shutil.copytree(_MODELS, models)
    shutil.copy(_HERE / "answers_model.yml", models / "cubes" / "progress.yml")
    return load_catalog(models)


def measure(warehouse: Warehouse, folder: Path, parts: Sequence[str]) -> None:
    """Compare the questions whose names hold one of `parts` (none given: all) and print."""
    client = warehouse.client
    cases = yaml.safe_load((_HERE / "answers.yml").read_text(encoding="utf-8"))
    chosen = [case for case in cases if not parts or any(part in case["name"] for part in parts)]
    counted = client.query("SELECT count() FROM responses").result_rows[0][0]
    catalog = load_model(folder)
    known = typed(catalog, asyncio.run(read_types(warehouse, catalog)))
    _measure(client, Workload(known, _teacher(client)), chosen, counted)


def main(parts: Sequence[str]) -> None:
    """Make the district, measure, print."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as name:
        warehouse = asyncio.run(fill(Path(name), LARGE))
        measure(warehouse, Path(name), parts)
        warehouse.close()


if __name__ == "__main__":
    main(sys.argv[1:])
