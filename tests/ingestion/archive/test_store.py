"""A folder and an S3-compatible store keep the same promises."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from core.clock import now
from core.errors import EduError, NotFound, StartupError, Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.erasure import erase
from ingestion.archive.months import named, run, verify
from ingestion.archive.restore import into_record
from ingestion.archive.store import Store, open_store
from ingestion.archive.tiers import months_before
from ingestion.batches import Blocking
from ingestion.loader import Loader
from tests.ingestion.archive.world import both, make_world, months_ago

_KEY, _SECRET = "edu-archive", "a secret of the tests"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with a bucket `edu`; it checks signatures."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "edu").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "nanio",
        "serve",
        "--data-dir",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "NANIO_ACCESS_KEY": _KEY, "NANIO_SECRET_KEY": _SECRET}
    server = subprocess.Popen([*command, "--log-level", "error", "--no-access-log"], env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            httpx2.get(url)
        except httpx2.TransportError:
            assert server.poll() is None
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server does not answer")


def bucket(s3: str, secret: str = _SECRET) -> Settings:
    """Settings with that store."""
    return Settings(
        archive_url="s3://edu/some/prefix", archive_endpoint=s3, archive_region="us-east-1", archive_access_key=_KEY,
        archive_secret_key=SecretStr(secret), archive_rest_hours=0,
    )  # fmt: skip


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Both kinds."""
    if request.param == "folder":
        return Settings(data_dir=tmp_path, archive_url=str(tmp_path / "there"), archive_rest_hours=0)
    return bucket(request.getfixturevalue("s3"))


@pytest.fixture
def store(settings: Settings) -> Store:
    """The store of the settings."""
    made = open_store(settings)
    assert made is not None
    return made


def test_what_is_written_is_read(store: Store) -> None:
    for path, content in (("a/b/1-0-ff.parquet", os.urandom(20_000_000)), ("a/b/2.parquet", b""), ("c.parquet", b"x")):
        store.write(path, content)
        assert store.read(path) == content
        store.write(path, content + b"!")
        assert store.read(path) == content + b"!"
    assert {"a/b/1-0-ff.parquet", "a/b/2.parquet", "c.parquet"} <= set(store.paths())
    for path in list(store.paths()):
        store.delete(path)
        store.delete(path)
        with pytest.raises(NotFound, match=path):
            store.read(path)
    assert list(store.paths()) == []


async def test_months_go_out_and_come_back(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Store, connection: Blocking
) -> None:
    schools = await make_world(postgres, loader, [14], rows=20)
    before = await both(postgres)
    assert [step.problem for step in run(connection, warehouse, store, settings)] == [None, None]
    assert await both(postgres) == {"responses": {}, "events": {}}
    assert [line["problems"] for line in verify(connection, warehouse, store)] == [[], []]
    assert sum(erase(connection, warehouse, store, schools[1]["ben"]).values()) > 0
    for month in named(connection, months_before(months_ago(14), 0).date()):
        assert into_record(connection, warehouse, store, month, now()) > 0
    after = await both(postgres)
    for table, person in (("responses", "student_id"), ("events", "user_id")):
        erased = f'"{person}": {schools[1]["ben"]},'
        assert after[table] == {key: row for key, row in before[table].items() if erased not in row}


def test_a_wrong_secret_and_a_server_that_is_away(s3: str) -> None:
    for settings in (bucket(s3, "wrong"), bucket("http://127.0.0.1:9")):
        store = open_store(settings)
        assert store is not None
        with pytest.raises(Unavailable, match="The archive does not answer"):
            store.write("x.parquet", b"1")


def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(Settings(archive_url=str(tmp_path / "file" / "below")))
    assert store is not None
    with pytest.raises(Unavailable, match="takes no file"):
        store.write("x.parquet", b"1")


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="EDU_WARM_MONTHS"):
        Settings(hot_months=13, warm_months=12)
    with pytest.raises(StartupError, match="EDU_ARCHIVE_URL"):
        open_store(Settings(archive_url="ftp://somewhere/else"))
    assert open_store(Settings(data_dir=tmp_path)) is None
    assert issubclass(StartupError, EduError)
