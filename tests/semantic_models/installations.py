"""Two installations to ask: a made-up district put straight into ClickHouse, and four folders that were imported."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from ingestion.importers import import_folder
from ingestion.loader import Loader
from tests.engine.asking import Row, query_of, run, total
from tests.oracle.evaluate import Oracle
from tests.oracle.folders import STRIDE, read_folders
from tests.oracle.made_up import make_world
from tests.oracle.world import World
from tests.semantic_models.loading import load_world

MODELS = Path(__file__).resolve().parents[2] / "semantic_models"
OPERATOR = SecurityContext(frozenset({"operator"}))


@dataclass(frozen=True, repr=False)
class Installation:
    """A warehouse, and the oracle over the same rows under the same ids."""

    catalog: Catalog
    warehouse: Warehouse
    oracle: Oracle

    def __repr__(self) -> str:
        return "an installation"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def ask(self, query: dict[str, Any], context: SecurityContext = OPERATOR) -> tuple[list[Row], int | None]:
        """The engine's rows and total."""
        statement = compile_query(self.catalog, query_of(query), context)
        return run(self.warehouse, statement), total(self.warehouse, statement) if query.get("total") else None


def make_up(catalog: Catalog, warehouse: Warehouse, seed: int = 1) -> Installation:
    """A made-up district."""
    world = make_world(seed)
    asyncio.run(create_tables(warehouse))
    asyncio.run(load_world(warehouse, world))
    return Installation(catalog, warehouse, Oracle(world))


def bring_in(catalog: Catalog, warehouse: Warehouse, url: str, folders: list[Path], settings: Settings) -> Installation:
    """Import the folders into Postgres, load them into ClickHouse, and give the oracle's rows the ids they got."""
    for folder in folders:
        import_folder(url, folder)
    asyncio.run(_load(warehouse, url, settings))
    world = read_folders(folders)
    with psycopg.connect(url) as connection:
        rows = connection.execute("select source, entity, source_id, id from import_ids").fetchall()
    renumber(world, [folder.name for folder in folders], rows)
    gc.freeze()  # a million live records make each collection slow
    return Installation(catalog, warehouse, Oracle(world))


async def _load(warehouse: Warehouse, url: str, settings: Settings) -> None:
    await create_tables(warehouse)
    loader = Loader(url, warehouse, settings)
    await loader.drain(600)
    await loader.close()


def renumber(world: World, sources: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Give each record the id that the import gave it."""
    tables: dict[str, dict[int, Any]] = {
        "schools": world.schools,
        "users": world.people,
        "classrooms": world.classrooms,
        "quizzes": world.quizzes,
        "questions": world.questions,
        "sessions": world.sessions,
    }
    given = {(source, entity, key): number for source, entity, key, number in rows}
    for entity, records in tables.items():
        for record in records.values():
            source, key = sources[record.id // STRIDE], str(record.id % STRIDE)
            record.id = given[source, entity, key]
