"""Ten million answers in ClickHouse: a district made and loaded by the real path, then copied inside ClickHouse.

A copy has schools, people, classrooms, sessions and answers of its own (their numbers are shifted, answers get new
UUIDs), and shares quizzes, questions and skills with all others, as schools under one authority do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.postgres import migrate
from core.postgres_server import PostgresServer
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from ingestion.importers import import_source
from ingestion.importers.district import District
from ingestion.loader import Loader

_UNTIL = datetime(2026, 3, 31, 20, tzinfo=UTC)
_SHIFT = 10_000_000
_SHIFTED: Mapping[str, tuple[str, ...]] = {
    "schools": ("id",),
    "users": ("id", "school_id"),
    "classrooms": ("id", "school_id", "teacher_id"),
    "enrolments": ("id", "school_id", "classroom_id", "user_id"),
    "quiz_sessions": ("id", "school_id", "classroom_id"),
    "events": ("school_id", "user_id", "classroom_id", "session_id"),
    "responses": ("school_id", "classroom_id", "session_id", "student_id"),
}
_KEYS = {"responses": "response_id", "events": "event_id"}
_NAMED = ("schools", "users", "classrooms")


@dataclass(frozen=True)
class Size:
    """The district that is made, over the half year up to April 2026, and how often ClickHouse then holds it."""

    schools: int
    classrooms: int
    students: int
    copies: int
    days: int = 180


LARGE = Size(schools=4, classrooms=10, students=30, copies=28)
"""112 schools with 33,600 students and more than ten million answers; two minutes on two cores."""


async def fill(folder: Path, size: Size) -> Warehouse:
    """A warehouse in `folder` with all rows, its parts merged."""
    settings = Settings(data_dir=folder)
    warehouse = Warehouse(f"chdb://{folder}/clickhouse?database=bench", settings.query_threads)
    await create_tables(warehouse)
    await _load(folder, warehouse, settings, size)
    for table, shifted in _SHIFTED.items():
        await _copy(warehouse, table, shifted, size.copies)
    return warehouse


async def _load(folder: Path, warehouse: Warehouse, settings: Settings, size: Size) -> None:
    server = PostgresServer(folder / "postgres")
    url = server.start()
    try:
        migrate(url)
        import_source(
            url,
            District(
                schools=size.schools,
                classrooms_per_school=size.classrooms,
                students_per_classroom=size.students,
                days=size.days,
                until=_UNTIL,
            ),
        )
        loader = Loader(url, warehouse, settings)
        await loader.drain(3600)
        await loader.close()
    finally:
        server.stop()


async def _copy(warehouse: Warehouse, table: str, shifted: tuple[str, ...], copies: int) -> None:
    changes = [f"{name} + copy * {_SHIFT} AS {name}" for name in shifted]
    if table in _NAMED:
        changes.append("concat(name, ' ', toString(copy)) AS name")
    if table in _KEYS:
        changes.append(f"generateUUIDv4() AS {_KEYS[table]}")
    columns = [row[0] for row in (await warehouse.query(f"DESCRIBE TABLE {table}")).result_rows]
    changed = {change.rpartition(" AS ")[2]: change for change in changes}
    picked = ", ".join(changed.get(name, name) for name in columns)
    original = f"SELECT * FROM {table} WHERE {shifted[0]} < {_SHIFT}"
    await warehouse.command(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picked} FROM ({original}) AS original"
        f" CROSS JOIN (SELECT toInt64(number + 1) AS copy FROM numbers({copies - 1})) AS copies"
    )
    await warehouse.command(f"OPTIMIZE TABLE {table} FINAL")
