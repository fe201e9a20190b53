"""The record: one connection pool and one way to write in a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from core.errors import StartupError, Unavailable

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


class Postgres:
    """A pool of connections to the record; rows come as dicts, time zone UTC."""

    def __init__(self, url: str, size: int = 10) -> None:
        self.url = url
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=min(2, size),
            max_size=size,
            open=False,
            timeout=10,
            kwargs={"row_factory": dict_row, "options": "-c timezone=UTC -c statement_timeout=60s"},
        )

    async def open(self) -> None:
        """Connect, or say why not."""
        try:
            await self.pool.open(wait=True, timeout=15)
        except PoolTimeout as error:
            raise StartupError("Postgres does not answer.", hint="Check DATABASE_URL.") from error

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed at the end, rolled back by an exception."""
        async with connected(), self.pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Connection]:
        """One transaction whose statements need no answer before the last is sent: one way there and back, commit
        included. The first error takes all of them back, and is raised at the end."""
        async with connected(), self._alone() as connection, connection.pipeline():
            yield connection

    async def fetch(self, query: str, parameters: Any = None) -> list[DictRow]:
        """All rows of one statement (a placeholder is `%s` or `%(name)s`); it is a transaction of its own.

        Without BEGIN and COMMIT around it: one way to the record and back instead of three."""
        async with connected(), self._alone() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        """A connection without BEGIN and COMMIT: what is sent together is a transaction."""
        async with self.pool.connection() as connection:
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    await connection.set_autocommit(False)
                else:
                    await connection.close()

    async def fetch_one(self, query: str, parameters: Any = None) -> DictRow | None:
        """The first row of one statement, or None."""
        rows = await self.fetch(query, parameters)
        return rows[0] if rows else None


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """Turns a lost or refused connection, a full disk and a read-only server into `Unavailable`, each with its code."""
    try:
        yield
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise Unavailable("Postgres is read-only now; nothing was written.", code="read_only") from error
    except psycopg.errors.DiskFull as error:
        raise Unavailable("The disk of Postgres is full; nothing was written.", code="disk_full") from error
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise Unavailable("Postgres is away; nothing was written. Try again.") from error


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[DictRow]]:
    """One blocking connection with dict rows, for bulk work outside the event loop."""
    with psycopg.connect(url, row_factory=dict_row, options="-c timezone=UTC") as connection:
        yield connection


def migrate(url: str) -> None:
    """Bring the schema to the newest revision; two processes at once wait for each other. Raises `StartupError`."""
    from alembic import command  # here, for it takes a second to import and only a start needs it
    from alembic.config import Config
    from sqlalchemy.exc import OperationalError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, "head")
    except OperationalError as error:
        raise StartupError("Postgres does not answer.", hint="Check DATABASE_URL.", cause=str(error)[:300]) from error
