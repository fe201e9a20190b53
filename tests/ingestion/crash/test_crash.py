"""Cut at any arrow in any way, the path loses nothing, doubles nothing, and comes to its end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import yaml

from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.failpoints import ARROWS
from tests.ingestion.crash.proxy import Proxy
from tests.ingestion.crash.scenarios import SCENARIOS, World, finish
from tests.ingestion.crash.ways import LOCK_TIMEOUT, action, failing
from tests.ingestion.ledger import Ledger, balance

ROOT = Path(__file__).resolve().parents[3]
TABLE: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_name("arrows.yml").read_text())
CASES = [
    (arrow, scenario, way) for arrow, found in TABLE.items() for scenario, ways in found.items() for way in ways
]
_ids = "-".join


@pytest.mark.parametrize(("arrow", "scenario", "way"), [case for case in CASES if case[2] != "kill"], ids=str)
async def test_it_fails_and_goes_on(
    arrow: str, scenario: str, way: str, postgres_url: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    """The same process goes on; afterwards another one looks whether anything was left."""
    name = re.findall(r"/(test_\d+)", postgres_url)[0]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set lock_timeout = '{LOCK_TIMEOUT}'")
    told: list[UUID] = []
    settings = Settings(data_dir=tmp_path, batch_rows=50)
    with Proxy(postgres_url) as proxy:
        world = World(postgres_url, proxy.url, warehouse, settings, told.append)
        await SCENARIOS[scenario](world, failing(arrow, action(way, postgres_url, proxy)))
        await finish(world)
    assert balance(postgres_url, warehouse, told).faults == {}


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """See zygote.py."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.ingestion.crash.zygote"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.communicate(timeout=60)


@pytest.mark.parametrize(("arrow", "scenario"), [case[:2] for case in CASES if case[2] == "kill"], ids=str)
def test_it_is_killed_and_another_goes_on(
    arrow: str, scenario: str, postgres_url: str, zygote: subprocess.Popen[str], tmp_path: Path
) -> None:
    """kill -9 of a process that has ClickHouse in it."""
    case = {"url": postgres_url, "folder": str(tmp_path), "scenario": scenario}
    assert _ask(zygote, {**case, "arrow": arrow}) == -signal.SIGKILL
    assert _ask(zygote, {**case, "arrow": None}) == 0
    assert Ledger(**json.loads((tmp_path / "ledger.json").read_text())).faults == {}


def _ask(zygote: subprocess.Popen[str], case: dict[str, str | None]) -> int:
    assert zygote.stdin and zygote.stdout
    zygote.stdin.write(json.dumps(case) + "\n")
    zygote.stdin.flush()
    return int(zygote.stdout.readline())


def test_every_arrow_has_a_case_and_every_place_is_an_arrow() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "ingestion").rglob("*.py"))
    assert set(re.findall(r'failpoint\("(\w+)"\)', sources)) == ARROWS.keys() == TABLE.keys()
    assert all("kill" in ways for found in TABLE.values() for ways in found.values())
