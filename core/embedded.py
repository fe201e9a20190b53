"""Opens both stores: servers when their URLs are set, else our own in the data folder, which one process holds."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import FolderInUse, StartupError
from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse


@dataclass(frozen=True)
class Stores:
    """Both stores, open and migrated, and the key that signs tokens."""

    settings: Settings
    postgres: Postgres
    warehouse: Warehouse
    secret_key: bytes
    folder: DataFolder


class DataFolder:
    """The data folder: its lock, its generated secret, and a note of who holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock: IO[str] | None = None

    def hold(self) -> None:
        """Take the folder for this process; raises `FolderInUse` with the holder's pid and addresses."""
        self._make()
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise self._in_use() from None
        self._lock = lock
        self.note(pid=os.getpid())

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711)
            (self.path / "lock").touch(mode=0o600)
        except OSError as error:
            raise StartupError(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                hint="Choose another with --data or EDU_DATA_DIR.",
            ) from error

    def _in_use(self) -> FolderInUse:
        holder = self.holder()
        return FolderInUse(
            f"The data folder {self.path} is in use by process {holder.get('pid', '?')}.",
            hint="Stop that process, talk to its server, or choose another folder with --data.",
            folder=str(self.path),
            **holder,
        )

    def holder(self) -> dict[str, Any]:
        """What the holder noted: pid, url (of its API), database_url."""
        try:
            return dict(json.loads((self.path / "holder.json").read_text()))
        except (OSError, ValueError):
            return {}

    def note(self, **facts: Any) -> None:
        """Add facts to the note for other processes; without effect unless this process holds the folder."""
        if self._lock is None:
            return
        known = self.holder() if "pid" not in facts else {}
        path = self.path / "holder.json"
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps({**known, **facts}))
        temporary.replace(path)

    def release(self) -> None:
        """Give the folder back."""
        if self._lock:
            (self.path / "holder.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def secret(self) -> bytes:
        """The secret of this installation: 32 random bytes, made once, readable by us alone."""
        self._make()
        path = self.path / "secret.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return bytes.fromhex(path.read_text())
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        return bytes.fromhex(path.read_text())


def secret_key(settings: Settings, folder: DataFolder) -> bytes:
    """The key from the settings, else the folder's own."""
    if settings.secret_key is None:
        return folder.secret()
    key = settings.secret_key.get_secret_value().encode()
    if len(key) < 32:
        raise StartupError("EDU_SECRET_KEY is too short.", hint="Give at least 32 characters.")
    return key


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Start, migrate and connect both stores; close and stop what we started at the end."""
    folder = DataFolder(settings.data_dir)
    async with AsyncExitStack() as stack:
        if settings.embedded_postgres or settings.embedded_warehouse:
            folder.hold()
            stack.callback(folder.release)
        url = await stack.enter_async_context(_database(settings, folder))
        await asyncio.to_thread(migrate, url)
        postgres = Postgres(url, settings.postgres_pool)
        await postgres.open()
        stack.push_async_callback(postgres.close)
        warehouse = await open_warehouse(settings, folder)
        stack.callback(warehouse.close)
        await create_tables(warehouse)
        yield Stores(settings, postgres, warehouse, secret_key(settings, folder), folder)


@asynccontextmanager
async def _database(settings: Settings, folder: DataFolder) -> AsyncIterator[str]:
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = PostgresServer(folder.path / "postgres")
    url = await asyncio.to_thread(server.start)
    folder.note(database_url=url)
    try:
        yield url
    finally:
        await asyncio.to_thread(server.stop)


async def open_warehouse(settings: Settings, folder: DataFolder) -> Warehouse:
    """ClickHouse by its URL, else in process over the data folder."""
    if settings.clickhouse_url is not None:
        url = settings.clickhouse_url.get_secret_value()
    else:
        url = f"chdb://{folder.path / 'clickhouse'}"
    return Warehouse(url, settings.query_threads, seconds=max(60, settings.query_seconds + 30))
