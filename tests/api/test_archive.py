"""Operators run, verify and restore the archive over HTTP and from the command line."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.app import create_app, started
from api.auth.tokens import Tokens
from api.principal import Principal
from core.postgres import Postgres
from core.warehouse import Warehouse
from ingestion.loader import Loader
from tests.api.conftest import SECRET, data, make_stores
from tests.api.test_cli import Shell
from tests.ingestion.archive.world import both, make_world, months_ago


def lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The JSON lines of an answer, without progress."""
    assert answer.status_code == 200, answer.text
    return [line for line in map(json.loads, answer.text.splitlines()) if "progress" not in line]


@pytest.fixture
def chosen(tmp_path: Path) -> dict[str, Any]:
    """An archive beside the stores."""
    return {"archive_url": str(tmp_path / "archive"), "batch_rows": 50, "archive_rest_hours": 0, "loader": False}


async def test_out_and_back_over_http(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    stores = make_stores(postgres, warehouse, tmp_path, **chosen)
    loader = Loader(postgres, warehouse, stores.settings)
    await make_world(postgres, loader, [14], rows=5)
    await loader.close()
    before = await both(postgres)
    token = Tokens(SECRET, timedelta(hours=1)).issue(Principal(role="operator", subject="tests"))
    async with started(create_app(stores=stores)) as app:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://test/api/v1", headers={"Authorization": f"Bearer {token}"}
        ) as client:
            assert data(await client.get("/archive")) == []
            assert len(data(await client.get("/archive?due=true"))) == 2
            assert [line["rows"] for line in lines(await client.post("/archive/run"))] == [10, 10]
            assert {row["state"] for row in data(await client.get("/archive"))} == {"archived"}
            assert [line["problems"] for line in lines(await client.post("/archive/verify"))] == [[], []]
            assert lines(await client.post("/archive/verify?month=1999-01")) == []
            month = f"{months_ago(14):%Y-%m}"
            wish = {"month": month, "into": "postgres", "days": 3}
            dry = lines(await client.post("/archive/restore", json=wish | {"dry_run": True}))
            assert [line["there_already"] for line in dry] == [False, False]
            assert await both(postgres) != before
            assert [line["rows"] for line in lines(await client.post("/archive/restore", json=wish))] == [10, 10]
            assert [line["rows"] for line in lines(await client.post("/archive/restore", json=wish))] == [0, 0]
            (error,) = lines(await client.post("/archive/restore", json={"month": "1999-01"}))
            assert error["error"]["code"] == "not_found"
            assert (await client.post("/archive/restore", json={"month": "1999-13"})).status_code == 422
            status = data(await client.get("/status"))
            assert status["housekeeping"]["archive"]["months"] == 2
    assert await both(postgres) == before
    told = await postgres.fetch("select action, count(*) as n from audit_log where action like 'archive%' group by 1")
    assert {row["action"]: row["n"] for row in told} == {
        "archive.run": 1, "archive.verified": 2, "archive.restored": 4,
    }  # fmt: skip


async def test_the_command_line_with_and_without_a_server(tmp_path: Path) -> None:
    shell = Shell(tmp_path, EDU_ARCHIVE_URL=str(tmp_path / "archive"))
    hasty = Shell(tmp_path, EDU_ARCHIVE_URL=str(tmp_path / "archive"), EDU_ARCHIVE_REST_HOURS="0")
    month = f"{months_ago(14):%Y-%m}"
    with shell.server():
        record = await _record(tmp_path)
        await make_world(record, None, [14], rows=5)
        before = await both(record)
        await _loaded(record)
        assert "no rows" in shell.run("archive", "run")
        await record.close()

    planned = json.loads(hasty.run("archive", "run", "--dry-run", "-f", "json"))
    assert [row["what"] for row in planned] == ["archive", "archive"]
    done = json.loads(hasty.run("archive", "run", "-f", "json"))
    assert [(row["rows"], row["problem"]) for row in done] == [(10, None)] * 2
    told = json.loads(shell.run("archive", "verify", "-f", "json"))
    assert [(row["files"], row["rows"], row["problems"]) for row in told] == [(2, 10, [])] * 2
    assert "2001" in shell.run("archive", "restore", "2001-01", code=1)
    assert "Write it like" in shell.run("archive", "restore", "soon", code=1)
    (path, *_) = sorted((tmp_path / "archive").rglob("*.parquet"))
    content = path.read_bytes()
    with shell.server():
        record = await _record(tmp_path)
        assert await both(record) == {"responses": {}, "events": {}}
        path.write_bytes(content[:-4])
        assert path.name in shell.run("archive", "verify", month, code=1)
        path.write_bytes(content)
        assert "no rows" not in shell.run("archive", "restore", month, "--into-postgres")
        assert "restored" in shell.run("archive", "list")
        assert await both(record) == before
        await record.close()


def test_without_an_archive_the_command_line_says_so(tmp_path: Path) -> None:
    assert "EDU_ARCHIVE_URL" in Shell(tmp_path).run("archive", "run", code=1)


async def _record(folder: Path) -> Postgres:
    """The record of a server over that folder."""
    record = Postgres(json.loads((folder / "holder.json").read_text())["database_url"], 2)
    await record.open()
    return record


async def _loaded(record: Postgres) -> None:
    """Until the server has brought the rows to ClickHouse."""
    query = "select coalesce(sum(rows), 0)::int as n from batches where state = 'committed' and pipeline <> 'audit_log'"
    async with asyncio.timeout(30):
        while (await record.fetch(query))[0]["n"] < 20:
            await asyncio.sleep(0.1)
