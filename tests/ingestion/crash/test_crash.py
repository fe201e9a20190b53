"""Cut at any arrow in any way, the path loses nothing, doubles nothing, and comes to its end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import yaml

from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from ingestion.failpoints import ARROWS
from tests.conftest import database
from tests.ingestion.crash.conftest import Zygote
from tests.ingestion.crash.proxy import Proxy
from tests.ingestion.crash.scenarios import SCENARIOS, World, finish
from tests.ingestion.crash.ways import LOCK_TIMEOUT, action, failing
from tests.ingestion.ledger import Ledger, balance

ROOT = Path(__file__).resolve().parents[3]
TABLE: dict[str, dict[str, list[str]] | str] = yaml.safe_load(Path(__file__).with_name("arrows.yml").read_text())
OURS = {arrow: found for arrow, found in TABLE.items() if isinstance(found, dict)}
CASES = [(arrow, scenario, way) for arrow, found in OURS.items() for scenario, ways in found.items() for way in ways]


@dataclass
class Place:
    """Both stores of some cases, one after the other."""

    url: str
    warehouse: Warehouse


@pytest.fixture
def fresh(postgres_url: str, warehouse: Warehouse) -> Place:
    """A place for one case."""
    return _impatient(postgres_url, warehouse)


@pytest.fixture(scope="module")
def worn(postgres_server: str, clickhouse_folder: Path) -> Iterator[Place]:
    """A place in which all cases that ask for no other leave their rows: each of them balances all of these."""
    url = _made(postgres_server, "crashes")
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=crashes", threads=2)
    with ThreadPoolExecutor(1) as thread:  # this one has an event loop
        thread.submit(asyncio.run, create_tables(warehouse)).result()
    yield _impatient(url, warehouse)
    warehouse.call(lambda client: client.command("DROP DATABASE crashes"))
    warehouse.close()


def _made(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template template_edu strategy file_copy")
    return database(server, name)


def _impatient(url: str, warehouse: Warehouse) -> Place:
    name = re.findall(r"/(\w+)\?", url)[0]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set lock_timeout = '{LOCK_TIMEOUT}'")
    return Place(url, warehouse)


@pytest.fixture
def place(scenario: str, request: pytest.FixtureRequest) -> Place:
    """A fresh one for a loader's first time."""
    found: Place = request.getfixturevalue("fresh" if scenario == "first" else "worn")
    return found


@pytest.mark.parametrize(("arrow", "scenario", "way"), [case for case in CASES if case[2] != "kill"], ids=str)
async def test_it_fails_and_goes_on(arrow: str, scenario: str, way: str, place: Place, tmp_path: Path) -> None:
    """The same process goes on; afterwards another one looks whether anything was left."""
    told: list[UUID] = []
    settings = Settings(data_dir=tmp_path, batch_rows=50)
    with Proxy(place.url) as proxy:
        world = World(place.url, proxy.url, place.warehouse, settings, told.append)
        await SCENARIOS[scenario](world, failing(arrow, action(way, place.url, proxy)))
        await finish(world)
    assert balance(place.url, place.warehouse, told).faults == {}


@pytest.mark.parametrize(("arrow", "scenario"), [case[:2] for case in CASES if case[2] == "kill"], ids=str)
def test_it_is_killed_and_another_goes_on(
    arrow: str, scenario: str, postgres_url: str, zygote: Zygote, tmp_path: Path
) -> None:
    """kill -9 of a process that has ClickHouse in it."""
    shutil.copytree(zygote.template, tmp_path, symlinks=True, dirs_exist_ok=True)
    case = {"url": postgres_url, "folder": str(tmp_path), "scenario": scenario}
    assert zygote.ask(**case, arrow=arrow) == -signal.SIGKILL
    assert zygote.ask(**case, arrow=None) == 0
    assert Ledger(**json.loads((tmp_path / "ledger.json").read_text())).faults == {}


def test_every_arrow_has_a_case_and_every_place_is_an_arrow() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "ingestion").rglob("*.py"))
    assert set(re.findall(r'failpoint\("(\w+)"\)', sources)) == ARROWS.keys() == TABLE.keys()
    assert all("kill" in ways for found in OURS.values() for ways in found.values())


@pytest.mark.parametrize(("arrow", "file"), [each for each in TABLE.items() if isinstance(each[1], str)], ids=str)
def test_an_arrow_of_another_room_is_cut_there(arrow: str, file: str) -> None:
    assert re.search(rf"\W{arrow}\W", (ROOT / file).read_text())
