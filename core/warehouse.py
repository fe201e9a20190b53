"""ClickHouse, in process or on a server, through one client class: one handle per thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from clickhouse_connect.driver.query import QueryResult

from core.errors import Cancelled, RefusedByStore, StoreTimeout, TooLarge, Unanswerable, Unavailable, WrongValue

T = TypeVar("T")
_TIMEOUT_CODES = ("159", "160", "209")
_AWAY_CODES = ("210", "279", "999", "202")
_TOO_MUCH_CODES = ("158", "241", "307", "396")
_STOPPED_CODE = "394"
_THROWN_CODE = "395"
# What a mutation changes is seen by every query from the moment it is accepted, in all parts at once.
_ON_FLY = "apply_mutations_on_fly"
_VALUE_CODES = ("6", "26", "27", "32", "38", "41", "70", "72", "376", "675", "676")


class Warehouse:
    """Queries and inserts over a small pool of threads; ClickHouse releases the GIL while it works."""

    def __init__(self, url: str, threads: int = 4, settings: dict[str, Any] | None = None) -> None:
        self.url = url
        self.embedded = url.startswith("chdb:")
        self._settings = settings or {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        self._local = threading.local()
        self._clients: list[Client] = []
        self._lock = threading.Lock()

    @property
    def client(self) -> Client:
        """This thread's client, connected at first use."""
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._connect()
            with self._lock:
                self._clients.append(client)
        return client

    def _connect(self) -> Client:
        parts = urlsplit(self.url)
        if not self.embedded:
            return self._connect_server()
        database = parse_qs(parts.query).get("database", ["default"])[0]
        options: dict[str, Any] = {"interface": "chdb", "path": parts.path, "settings": {_ON_FLY: 1, **self._settings}}
        client = clickhouse_connect.get_client(**options)
        if database != "default":
            client.command(f"CREATE DATABASE IF NOT EXISTS {quote(database)}")
            client.command(f"USE {quote(database)}")
        return client

    def _connect_server(self) -> Client:
        client = clickhouse_connect.get_client(dsn=self.url, settings=self._settings, autogenerate_session_id=False)
        known = client.server_settings.get(_ON_FLY)
        if known is not None and not known.readonly:
            client.set_client_setting(_ON_FLY, "1")
        return client

    async def run(self, work: Callable[[Client], T]) -> T:
        """Run `work(client)` on a thread of the pool; store errors become ours."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.call, work)

    def call(self, work: Callable[[Client], T]) -> T:
        """Run `work(client)` on this thread."""
        try:
            return work(self.client)
        except ClickHouseError as error:
            raise _translated(error) from error

    async def query(
        self, sql: str, parameters: dict[str, Any] | None = None, settings: dict[str, Any] | None = None
    ) -> QueryResult:
        """Rows of one SELECT; a value is bound as `{name:Type}`."""
        return await self.run(lambda client: client.query(sql, parameters=parameters, settings=settings))

    async def command(self, sql: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run one statement without rows."""
        return await self.run(lambda client: client.command(sql, parameters=parameters))

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], settings: dict[str, Any] | None = None
    ) -> None:
        """Insert rows as one block, synchronously (`async_insert=0`)."""
        chosen = {"async_insert": 0, **(settings or {})}
        await self.run(lambda client: client.insert(table, rows, column_names=columns, settings=chosen))

    def close(self) -> None:
        """Close every thread's client."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._local = threading.local()


def quote(identifier: str) -> str:
    """An identifier in backquotes."""
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _translated(error: ClickHouseError) -> Exception:
    text = str(error)
    if any(f"Code: {code}" in text or f"code {code}" in text for code in _TIMEOUT_CODES):
        return StoreTimeout("The query took too long.", hint="Ask for less: a shorter period, fewer dimensions.")
    if not isinstance(error, DatabaseError) or any(f"Code: {code}." in text for code in _AWAY_CODES):
        return Unavailable("ClickHouse is away. Try again.", cause=text[:300])
    if isinstance(error, OperationalError):
        return Unavailable("ClickHouse is away. Try again.", cause=text[:300])
    if any(f"Code: {code}." in text for code in _TOO_MUCH_CODES):
        problem = "The query needs more rows, bytes or memory than one may."
        return TooLarge(problem, hint="Ask for less.", cause=text[:300])
    if f"Code: {_STOPPED_CODE}." in text:
        return Cancelled()
    if f"Code: {_THROWN_CODE}." in text:
        return Unanswerable(text.partition("DB::Exception: ")[2].partition(": while executing")[0][:500] + ".")
    refused = text.split("Stack trace")[0].strip()[:2000]
    if any(f"Code: {code}." in text for code in _VALUE_CODES) or "Cannot convert string" in text:
        return WrongValue(refused, hint="Compare with values of the member's own type.")
    return RefusedByStore(refused)
