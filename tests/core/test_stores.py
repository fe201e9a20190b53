"""Both stores start, migrate, answer, stop, and start again after a kill; one process holds a folder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.embedded import DataFolder, open_stores
from core.errors import FolderInUse, StartupError
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse

_HOLDER = """
import asyncio, sys
from core.embedded import open_stores
from core.settings import Settings
async def main():
    async with open_stores(Settings(data_dir=sys.argv[1])) as stores:
        await stores.postgres.fetch("insert into schools (name) values ('Grüne Schule') returning id")
        await stores.warehouse.insert("quiz_questions", ["id", "quiz_id"], [[1, 2]])
        print("ready", flush=True)
        await asyncio.sleep(600 if len(sys.argv) > 2 else 0)
asyncio.run(main())
"""

_READER = """
import asyncio, sys
from core.embedded import open_stores
from core.settings import Settings
async def main():
    async with open_stores(Settings(data_dir=sys.argv[1])) as stores:
        print(len(await stores.postgres.fetch("select 1 from schools")), end=" ")
        print((await stores.warehouse.query("select count() from quiz_questions")).result_rows[0][0])
asyncio.run(main())
"""


def _run(script: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_process_leaves_a_folder_that_starts_again(tmp_path: Path) -> None:
    holder = _run(_HOLDER, tmp_path, "wait")
    assert holder.stdout and holder.stdout.readline() == "ready\n", holder.stderr and holder.stderr.read()

    with pytest.raises(FolderInUse) as caught:
        asyncio.run(_open(Settings(data_dir=tmp_path)))
    assert caught.value.details["pid"] == holder.pid
    assert str(holder.pid) in str(caught.value) and "--data" in str(caught.value)

    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    reader = _run(_READER, tmp_path)
    out, err = reader.communicate(timeout=60)
    assert out.split() == ["1", "1"], err


def test_postgres_is_stopped_with_the_process_that_started_it(tmp_path: Path) -> None:
    holder = _run(_HOLDER, tmp_path)
    _, err = holder.communicate(timeout=60)
    assert holder.returncode == 0, err
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    assert not (tmp_path / "holder.json").exists()


async def _open(settings: Settings) -> None:
    async with open_stores(settings):
        pass


def test_the_generated_secret_is_kept_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.secret() == folder.secret() == DataFolder(tmp_path).secret()
    assert len(folder.secret()) == 32
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be used"):
        DataFolder(tmp_path / "file" / "x").hold()


async def test_a_transaction_is_rolled_back_by_an_exception(postgres: Postgres) -> None:
    with pytest.raises(RuntimeError):
        async with postgres.transaction() as connection:
            await connection.execute("insert into schools (name) values ('x')")
            raise RuntimeError
    assert await postgres.fetch("select id from schools") == []


async def test_values_are_bound_never_pasted(warehouse: Warehouse) -> None:
    evil = "x'; DROP TABLE responses; --\\"
    result = await warehouse.query("SELECT {value:String}", {"value": evil})
    assert result.result_rows == [(evil,)]
