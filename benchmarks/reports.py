"""How long the three reports and a spread of queries take: the engine's answer, and the same SQL sent bare.

`python -m benchmarks.reports [FOLDER …]`: over a made-up district, and over folders of CSV files to import beside it.
A report is the sum of its sections, one after the other, nothing cached; each is run for people, classrooms and
quizzes drawn by lot.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

from api.reports.definitions import load_reports
from api.reports.filling import fill
from benchmarks.table import percentile, show
from core.postgres import migrate
from core.postgres_server import PostgresServer
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, Statement, compile_query, load_catalog
from engine.query.normalisation import normalize
from engine.run.executor import Executor
from ingestion.importers import import_folder, import_source
from ingestion.importers.district import District
from ingestion.loader import Loader

_MODELS = Path(__file__).resolve().parent.parent / "semantic_models"
_OPERATOR = SecurityContext(frozenset({"operator"}))
_RUNS = 15
_QUERIES: dict[str, dict[str, Any]] = {
    "one count": {"measures": ["responses.count"]},
    "rates by school": {
        "measures": ["responses.accuracy", "responses.participants"],
        "dimensions": ["schools.name"],
    },
    "accuracy by week and subject": {
        "measures": ["responses.accuracy"],
        "dimensions": ["quizzes.subject"],
        "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": "week"}],
        "timezone": "Europe/Vienna",
    },
    "median and 90 % of the time by question": {
        "measures": ["responses.median_time_seconds", "responses.p90_time_seconds"],
        "dimensions": ["questions.id"],
    },
    "common wrong answers by question": {
        "measures": ["responses.most_common_wrong_answer", "responses.most_common_wrong_share"],
        "dimensions": ["questions.id"],
    },
    "accuracy by skill (fan-out)": {"measures": ["responses.accuracy"], "dimensions": ["question_skills.skill"]},
    "engagement by classroom (two facts)": {
        "measures": ["enrolments.engagement_rate"],
        "dimensions": ["classrooms.id", "schools.name"],
    },
    "completion by quiz": {"measures": ["participations.completion_rate"], "dimensions": ["quizzes.title"]},
    "discrimination by question": {
        "measures": ["item_scores.discrimination"],
        "dimensions": ["quizzes.id", "questions.id"],
    },
    "the hundred weakest students": {
        "measures": ["responses.accuracy"],
        "dimensions": ["students.id", "classrooms.name"],
        "order": [["responses.accuracy", "asc"]],
        "limit": 100,
        "total": True,
    },
}


class _Asker:
    """Asks through the executor, and the same statements bare."""

    def __init__(self, catalog: Catalog, warehouse: Warehouse, settings: Settings) -> None:
        self.catalog, self.warehouse = catalog, warehouse
        self.executor = Executor(warehouse, catalog, settings)

    def compiled(self, query: dict[str, Any]) -> Statement:
        """The statement of a query as the operator asks it."""
        moment = datetime.now(UTC)
        asked = normalize(query, now=moment, default_time_zone="UTC").queries[0]
        return compile_query(self.catalog, asked, _OPERATOR)

    async def ask(self, queries: Iterable[dict[str, Any]]) -> tuple[float, float]:
        """Milliseconds for all queries: from the request on, and for the bare SQL."""
        began = time.perf_counter()
        statements = []
        for query in queries:
            statements.append(self.compiled(query))
            await self.executor.run(statements[-1], cached=False)
        middle = time.perf_counter()
        for statement in statements:
            await self.warehouse.query(statement.sql, dict(statement.parameters), dict(statement.settings))
        return (middle - began) * 1000, (time.perf_counter() - middle) * 1000

    async def keys(self, column: str) -> list[int]:
        """The different ids in a column of the answers."""
        query = {
            "dimensions": [f"responses.{column}"],
            "filters": [{"member": f"responses.{column}", "operator": "set"}],
        }
        table = await self.executor.run(self.compiled(query), cached=False)
        return [int(str(value)) for value in table.columns[0]]


async def _measure(asker: _Asker) -> None:
    random = Random(1)
    rows = []
    for report in load_reports(_MODELS / "reports").values():
        name = report.parameters[0].name
        keys = await asker.keys(name)
        times = []
        for key in [random.choice(keys) for _ in range(_RUNS + 1)]:
            values = {parameter.name: key if parameter.name == name else None for parameter in report.parameters}
            queries = [fill(section.query, values, date(2100, 1, 1)) for section in report.sections]
            times.append(await asker.ask(queries))
        rows.append(_row(f"report {report.name} ({len(report.sections)} queries)", times[1:]))
    for name, query in _QUERIES.items():
        rows.append(_row(name, [await asker.ask([query]) for _ in range(_RUNS + 1)][1:]))
    counted = (await asker.warehouse.query("SELECT count() FROM responses")).result_rows[0][0]
    title = f"Reports and queries over {counted:,} answers, milliseconds, {_RUNS} runs each, one at a time"
    show(title, ["what", "p50", "p95", "bare SQL p50", "ratio"], rows)


def _row(name: str, times: Sequence[tuple[float, float]]) -> list[object]:
    ours, bare = [each[0] for each in times], [each[1] for each in times]
    middle, bound = percentile(ours, 0.5), percentile(bare, 0.5)
    return [name, middle, percentile(ours, 0.95), bound, middle / bound]


async def _run(url: str, folder: Path) -> None:
    settings = Settings(data_dir=folder)
    warehouse = Warehouse(f"chdb://{folder}/clickhouse?database=bench", settings.query_threads)
    await create_tables(warehouse)
    loader = Loader(url, warehouse, settings)
    await loader.drain(3600)
    await loader.close()
    await _measure(_Asker(load_catalog(_MODELS), warehouse, settings))
    warehouse.close()


def main(folders: Sequence[str]) -> None:
    """Fill the stores, measure, print."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as name:
        server = PostgresServer(Path(name) / "postgres")
        url = server.start()
        try:
            migrate(url)
            import_source(url, District(schools=4, classrooms_per_school=12, students_per_classroom=30))
            for folder in folders:
                import_folder(url, Path(folder))
            asyncio.run(_run(url, Path(name)))
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
