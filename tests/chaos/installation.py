"""A served installation of real processes that can be killed and started again: both stores, the API, two loaders."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg

from api.cli.client import mint
from api.principal import Principal
from benchmarks.table import UNLIMITED
from core.postgres import migrate
from core.postgres_server import PostgresServer
from core.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_CLICKHOUSE = _ROOT / "tests" / "served" / "clickhouse_http.py"
_SECRET = "k" * 40
LOADERS = ("first", "second")


class Victim:
    """A process that is started again after each kill."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]], ready: Callable[[], bool]) -> None:
        self.name, self._start, self._ready = name, start, ready
        self.kills = 0
        self.process = start()

    def is_ready(self) -> bool:
        """Whether it answers."""
        if self.process.poll() is not None:
            self.process = self._start()
        return self._ready()

    def kill(self) -> None:
        """kill -9, and start again."""
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.process = self._start()

    def end(self) -> None:
        """Stop it as one should."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class PostgresVictim:
    """The record, with its real durability."""

    def __init__(self, folder: Path, port: int) -> None:
        options = {"listen_addresses": "127.0.0.1", "port": str(port), "shared_buffers": "64MB"}
        self._server = PostgresServer(folder, options)
        self._folder = folder
        self._coming = threading.Thread()
        self.name, self.kills = "Postgres", 0
        self._server.start()
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute("create role edu login password 'edu'")
            connection.execute("create database edu owner edu")
        self.url = f"postgresql://edu:edu@127.0.0.1:{port}/edu"

    def is_ready(self) -> bool:
        """Whether it answers."""
        return not self._coming.is_alive()

    def kill(self) -> None:
        """kill -9 of the postmaster; what it leaves is repaired by the next start."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        self._coming = threading.Thread(target=self._server.start)
        self._coming.start()

    def end(self) -> None:
        """Stop it as one should."""
        if self._coming.ident:
            self._coming.join()
        self._server.stop()


class Installation:
    """Everything, running; `url` is the API's address, `token` an admin's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        postgres_port, self._clickhouse_port, self._port = _free_port(), _free_port(), _free_port()
        self.postgres = PostgresVictim(folder / "postgres", postgres_port)
        self.clickhouse_url = f"http://default:@127.0.0.1:{self._clickhouse_port}/default?compress=false"
        self.url = f"http://127.0.0.1:{self._port}"
        migrate(self.postgres.url)
        self.token = self._admin()
        clickhouse = Victim("ClickHouse", self._start_clickhouse, lambda: _answers(self._clickhouse_port))
        _until(clickhouse.is_ready)
        api = Victim("API", lambda: self._start("api", "serve", "--port", str(self._port)), self._serves)
        _until(api.is_ready)
        loaders = [Victim("loader", partial(self._start, name, "load"), lambda: True) for name in LOADERS]
        self.victims: list[Victim | PostgresVictim] = [self.postgres, clickhouse, api, *loaders]

    def wait(self) -> None:
        """Until everything answers."""
        for victim in self.victims:
            _until(victim.is_ready)

    def close(self) -> None:
        """Stop what was started."""
        for victim in reversed(self.victims):
            victim.end()

    def recovered(self) -> set[tuple[str, int]]:
        """Batches (pipeline, number) that a loader found unconfirmed and looked after, by the loaders' own logs."""
        lines = [line for name in LOADERS for line in (self._folder / f"{name}.log").read_text().splitlines()]
        told = [json.loads(line) for line in lines if line.startswith("{") and "recovering a batch" in line]
        return {(line["pipeline"], line["batch"]) for line in told}

    def _admin(self) -> str:
        with psycopg.connect(self.postgres.url) as connection:
            school = connection.execute("insert into schools (name) values ('Hill') returning id").fetchall()[0][0]
            query = "insert into users (school_id, role, name) values (%s, 'admin', 'Ada') returning id"
            user = connection.execute(query, (school,)).fetchall()[0][0]
        settings = Settings(data_dir=self._folder / "mint", secret_key=_SECRET)
        return mint(settings, Principal("admin", user, school), timedelta(hours=6))

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **{f"EDU_{name.upper()}": str(value) for name, value in UNLIMITED.items()},
            "DATABASE_URL": self.postgres.url,
            "CLICKHOUSE_URL": self.clickhouse_url,
            "EDU_SECRET_KEY": _SECRET,
            "EDU_DATA_DIR": str(self._folder / name),
            "EDU_LOG_LEVEL": "info" if "load" in arguments else "warning",
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "api.cli", *arguments]
            return subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=log, stderr=log)

    def _start_clickhouse(self) -> subprocess.Popen[bytes]:
        with (self._folder / "clickhouse.log").open("ab") as log:
            command = [sys.executable, str(_CLICKHOUSE), str(self._folder / "clickhouse"), str(self._clickhouse_port)]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/live", timeout=5):
                return True
        except OSError:
            return False


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("a process does not come up")
        time.sleep(0.05)
