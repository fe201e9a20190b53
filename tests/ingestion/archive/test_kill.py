"""Every place of the path × kill -9: the next run goes on, and in the end it is as if nobody had been killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.postgres import Postgres
from ingestion.archive.manifest import office, parse_month
from ingestion.archive.months import listed
from ingestion.archive.store import Folder
from tests.ingestion.archive.world import both, make_world, months_ago
from tests.ingestion.rows import months

_OUT = (
    "archive_claimed", "archive_closed", "archive_file_written", "archive_file_noted", "archive_written",
    "archive_compared", "archive_dropping", "archive_detached", "archive_dropped", "cold_told", "cold_deleted",
)  # fmt: skip


@dataclass
class Place:
    """The stores' places, for processes that come and go: only one at a time may hold ClickHouse's folder."""

    postgres: Postgres
    clickhouse: Path
    folder: Path

    async def child(self, what: str, about: str = "", kill_at: str = "nowhere") -> str | None:
        """What a process said; None if it was killed."""
        command = [
            sys.executable, "-m", "tests.ingestion.archive.killed", self.postgres.url, str(self.clickhouse),
            str(self.folder), kill_at, what, about,
        ]  # fmt: skip
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
        if done.returncode == -signal.SIGKILL:
            return None
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def killed_at(self, places: tuple[str, ...], what: str, about: str = "") -> list[str]:
        """Kill a process at each place; the places that were reached."""
        return [place for place in places if await self.child(what, about, place) is None]


@pytest.fixture
async def place(postgres: Postgres, tmp_path: Path) -> Place:
    """Three old months, one of them cold, and a new one; loaded."""
    await months(postgres)
    await make_world(postgres, None, [40, 14, 2], rows=10)
    made = Place(postgres, tmp_path / "clickhouse", tmp_path / "archive")
    await made.child("load")
    return made


async def test_the_way_out_and_back(place: Place, postgres: Postgres) -> None:
    before, cubes = await both(postgres), await place.child("look")
    assert await place.killed_at(_OUT, "run") == list(_OUT)
    await place.child("run")
    await place.child("run")
    assert {table: len(rows) for table, rows in (await both(postgres)).items()} == {"responses": 20, "events": 20}
    with office(postgres.url) as connection:
        states = {(row["state"], row["warehouse"], row["problem"]) for row in listed(connection)}
        garbage = connection.execute("select count(*) as n from archive_garbage").fetchone()
    assert states == {("archived", "here", None), ("archived", "away", None)}
    assert garbage == {"n": 0}
    assert len(list(Folder(place.folder).paths())) == 8

    cold, warm = (f"{months_ago(age):%Y-%m-01}" for age in (40, 14))
    assert await place.killed_at(("archive_file_restored",), "restore-warehouse", cold)
    await place.child("restore-warehouse", cold)
    assert await place.child("look") == cubes
    for month in (cold, warm):
        for stop in ("archive_file_restored", "archive_restored"):
            assert await place.child("restore-record", month, stop) is None
        await place.child("restore-record", month)
    assert await both(postgres) == before
    await place.child("load")
    assert await place.child("look") == cubes


async def test_erasure_and_retention(place: Place, postgres: Postgres) -> None:
    await place.child("run")
    (person,) = await postgres.fetch("select id from users where name = 'ann' and school_id = 1")
    assert await place.killed_at(("archive_file_written", "archive_rewritten"), "erase", str(person["id"]))
    await place.child("erase", str(person["id"]))
    with office(postgres.url) as connection:
        rows = connection.execute("select count(*) as n from archive_files where school_id = 1").fetchone()
    assert rows is not None and rows["n"] > 0

    await postgres.fetch("update schools set retention_months = 1 where id = 2")
    assert await place.killed_at(("retention_told", "retention_deleted"), "retention") == [
        "retention_told", "retention_deleted",
    ]  # fmt: skip
    await place.child("retention")
    for table, moment in (("responses", "submitted_at"), ("events", "occurred_at")):
        old = f"{moment} < date_trunc('month', now(), 'UTC') - interval '1 month'"
        assert await postgres.fetch(f"select 1 from {table} where school_id = 2 and {old}") == []
    assert await postgres.fetch("select 1 from archive_files where school_id = 2") == []
    assert await place.child("look")
    assert parse_month(f"{months_ago(14):%Y-%m}").day == 1
