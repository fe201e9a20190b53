"""status and pipeline on the command line: beside a running server, over a folder of one's own, without ClickHouse."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ingestion.partitions import ensure_months_blocking
from tests.api.test_cli import Shell
from tests.ingestion.rows import INSERT_EVENT, event


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other test runs leave alone: PostgreSQL must be able to traverse what lies above."""
    made = Path(tempfile.mkdtemp(prefix="edu-pipeline-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_beside_a_server_and_alone(folder: Path) -> None:
    shell = Shell(folder)
    with shell.server():
        url = json.loads((folder / "holder.json").read_text())["database_url"]
        with psycopg.connect(url) as connection:
            ensure_months_blocking(connection, [event()["occurred_at"]])
            connection.cursor().executemany(INSERT_EVENT, [event() for _ in range(30)])
        audited = json.loads(shell.run("pipeline", "audit", "--repair", "-f", "json"))
        assert (audited["different"], audited["left"]) == (0, 0)
        assert "events_next" in shell.run("pipeline", "exchange", "--table", "events", code=1)
        status = json.loads(shell.run("status", "--json"))
        assert status["leader"]["pid"] > 0
        assert (status["level"], status["warehouse"]) == ("well", "ok")
        assert shell.run("status", "--check").startswith("WELL - ")
    again = json.loads(shell.run("pipeline", "replay", "--table", "events", "--from", "2026-01-01", "-f", "json"))
    assert (again["rows"], again["extra"]) == (30, 0)
    assert "No loader is running" in shell.run("status", "--check", code=2)


def test_without_clickhouse(tmp_path: Path, postgres_url: str) -> None:
    shell = Shell(
        tmp_path, DATABASE_URL=postgres_url, CLICKHOUSE_URL="http://127.0.0.1:9/default", EDU_SECRET_KEY="k" * 40
    )
    status = json.loads(shell.run("status", "--json"))
    assert status["warehouse"] == "unavailable"
    assert [pipeline["warehouse_rows"] for pipeline in status["pipelines"]] == [None] * 3
    assert "ClickHouse does not answer" in shell.run("status", "--check", code=2)
    assert "ClickHouse does not answer" in shell.run("status")


def test_without_postgres(tmp_path: Path) -> None:
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "CLICKHOUSE_URL": f"chdb://{tmp_path}/ch"}
    shell = Shell(tmp_path, EDU_SECRET_KEY="k" * 40, **away)
    shell.run("status", "--check", code=3)
