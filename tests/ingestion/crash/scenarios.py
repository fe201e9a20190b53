"""Ways through the path: what happens before the arrow at which a case fails, and what then runs to the end.

accept  three clients send events at once, and again until they are acknowledged
first   a loader that has never loaded meets a school
facts   events of two months, three batches
torn    an insert of two parts of which one was lost, not confirmed; then a new loader
emptied ClickHouse lost its tables; then a new loader
people  schools were added, renamed, removed
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import psycopg

from core.clock import now
from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.failpoints import armed
from ingestion.loader import Loader, _snapshot, _waiting
from ingestion.partitions import ensure_months
from ingestion.staging import EventRow
from ingestion.writer import Writer
from tests.ingestion.rows import INSERT_EVENT, event

_SECONDS = 30
LAST_MONTH = timedelta(days=34)


class Crash(RuntimeError):
    """What nobody expects."""


@dataclass
class World:
    """Both stores; `through` is the way of the part that fails, `direct` everybody else's."""

    direct: str
    through: str
    warehouse: Warehouse
    settings: Settings
    acknowledge: Callable[[UUID], None]
    loaders: list[Loader] = field(default_factory=list)

    def loader(self) -> Loader:
        """A new loader."""
        self.loaders.append(Loader(self.through, self.warehouse, self.settings))
        return self.loaders[-1]

    async def commit(self, number: int) -> None:
        """Events of this month and of the last one."""
        moments = [now() - LAST_MONTH * (index % 2) for index in range(number)]
        async with await psycopg.AsyncConnection.connect(self.direct) as connection:
            await ensure_months(connection, moments)
            await connection.cursor().executemany(INSERT_EVENT, [event(occurred_at=moment) for moment in moments])

    async def change(self, *statements: str) -> None:
        """Run statements on the record."""
        async with await psycopg.AsyncConnection.connect(self.direct) as connection:
            for statement in statements:
                await connection.execute(statement)


Failure = AbstractContextManager[None]


async def settle(loader: Loader) -> None:
    """Pass after pass, whatever happens, until all that is committed now was brought."""
    target, end = _snapshot(loader.url), time.monotonic() + _SECONDS
    while True:
        await loader._try_pass()
        with suppress(psycopg.Error):
            if not await asyncio.to_thread(_waiting, loader.url, target):
                return
        assert time.monotonic() < end, "the loader does not come to an end"
        await asyncio.sleep(0.01)


async def accept(world: World, failure: Failure) -> None:
    """Three clients that send again until they are told."""
    rows = [
        EventRow(
            each["event_id"], 1, None, None, None, None, None, "app_error", 1, None, each["occurred_at"], None, "{}"
        )
        for each in (event(occurred_at=now() - LAST_MONTH * (number % 2)) for number in range(60))
    ]
    postgres = Postgres(world.through, 3)
    await postgres.open()
    async with Writer(postgres, world.settings) as writer:
        await _send(world, writer, [rows[0]])
        with failure:
            await asyncio.gather(*(_send(world, writer, rows[start::3]) for start in range(3)))
    await postgres.close()


async def _send(world: World, writer: Writer, rows: list[EventRow]) -> None:
    async with asyncio.timeout(_SECONDS):
        while True:
            with suppress(EduError):
                verdicts = await writer.submit_events(rows)
                break
            await asyncio.sleep(0.02)
    for row, verdict in zip(rows, verdicts, strict=True):
        assert not isinstance(verdict, EduError), verdict
        assert verdict.status in ("accepted", "duplicate"), verdict
        world.acknowledge(row.event_id)


async def first(world: World, failure: Failure) -> None:
    """A loader that has never loaded."""
    await world.change("insert into schools (name) values ('a'), ('b')")
    await world.commit(20)
    with failure:
        await settle(world.loader())


async def facts(world: World, failure: Failure) -> None:
    """Three batches of two months."""
    loader = world.loader()
    await settle(loader)
    await world.commit(130)
    with failure:
        await settle(loader)


async def torn(world: World, failure: Failure) -> None:
    """A loader that finds a batch of which ClickHouse has one part."""
    await world.commit(0)
    await settle(world.loader())
    await world.commit(40)
    dead = world.loaders.pop()
    with armed("inserted", _crash), suppress(Crash):
        await dead.load()
    await dead.close()
    await world.warehouse.command(
        "DELETE FROM events WHERE toYYYYMM(occurred_at) = {month:UInt32} AND batch = (SELECT max(batch) FROM events)",
        {"month": int(f"{now() - LAST_MONTH:%Y%m}")},
    )
    with failure:
        await settle(world.loader())


async def emptied(world: World, failure: Failure) -> None:
    """A loader that finds no table filled."""
    await world.change("insert into schools (name) values ('a'), ('b')")
    await world.commit(60)
    await settle(world.loader())
    await world.loaders.pop().close()
    for table in ("events", "schools"):
        await world.warehouse.command(f"TRUNCATE TABLE {table}")
    with failure:
        await settle(world.loader())


async def people(world: World, failure: Failure) -> None:
    """Schools come, change and go."""
    await world.change("insert into schools (name) values ('a'), ('b'), ('c')")
    loader = world.loader()
    await settle(loader)
    await world.change(
        "update schools set name = name || '!' where name = 'a'",
        "delete from schools where name = 'b'",
        "insert into schools (name) values ('d')",
    )
    with failure:
        await settle(loader)
    await world.change("update schools set name = name || '?' where name like 'a%'")


def _crash() -> None:
    raise Crash


SCENARIOS: dict[str, Callable[[World, Failure], Awaitable[None]]] = {
    each.__name__: each for each in (accept, first, facts, torn, emptied, people)
}


async def finish(world: World) -> None:
    """Whoever failed is gone; rows have come since; a new loader brings everything."""
    for loader in world.loaders:
        await loader.close()
    await world.commit(7)
    last = Loader(world.direct, world.warehouse, world.settings)
    await settle(last)
    await last.close()
