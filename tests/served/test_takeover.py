"""Two loader processes over served stores: one is killed, cut off or put to sleep; the other goes on within seconds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from core.postgres import migrate
from core.warehouse import Warehouse
from ingestion.partitions import ensure_months_blocking
from ingestion.term import HOLDER, LOCK, NAME
from tests.ingestion.rows import INSERT_EVENT, event
from tests.served.conftest import Served
from tests.served.test_processes import Process

pytestmark = pytest.mark.timeout(180)


class Pair:
    """Two loaders, a connection to the record, and what has been committed."""

    def __init__(self, served: Served, folder: Path) -> None:
        migrate(served.database_url)
        self.record = psycopg.connect(served.database_url, autocommit=True, row_factory=dict_row)
        ensure_months_blocking(self.record, [event()["occurred_at"]])
        self.loaders = [Process(served, folder / f"load{number}", "load") for number in range(2)]
        self.warehouse = Warehouse(served.clickhouse_url, threads=1)
        self.ids: set[UUID] = set()

    def leader(self) -> int:
        """The pid of the elected loader, 0 while there is none."""
        row = self.record.execute(HOLDER, {"lock": LOCK}).fetchone()
        name = row["application_name"] if row else ""
        return int(name.rpartition(":")[2]) if name.startswith(NAME) else 0

    def commit(self, count: int = 20) -> None:
        """Some events."""
        rows = [event() for _ in range(count)]
        with self.record.transaction(), self.record.cursor() as cursor:
            cursor.executemany(INSERT_EVENT, rows)
        self.ids |= {row["event_id"] for row in rows}

    def arrived(self) -> bool:
        """Whether all are in ClickHouse, each once; never twice."""
        query = "SELECT event_id, count() FROM events GROUP BY event_id"
        rows = self.warehouse.call(lambda client: client.query(query)).result_rows
        found: dict[UUID, int] = {row[0]: row[1] for row in rows}
        assert max(found.values(), default=1) == 1
        return self.ids <= found.keys()

    def close(self) -> None:
        """End both loaders."""
        for process in self.loaders:
            if process.inner.poll() is None:
                process.inner.send_signal(signal.SIGCONT)
            process.end()
        self.record.close()
        self.warehouse.close()


@pytest.fixture
def pair(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Both running, one elected, its first rows in ClickHouse."""
    monkeypatch.setenv("EDU_LOADER_TAKEOVER_SECONDS", "3")
    made = Pair(served, tmp_path)
    try:
        until(lambda: made.leader() > 0, 90)
        made.commit()
        until(made.arrived, 30)
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for something; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it took too long"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_killed_leader_is_followed_at_once(pair: Pair) -> None:
    old = pair.leader()
    pair.commit()
    os.kill(old, signal.SIGKILL)
    pair.commit()
    until(lambda: pair.leader() not in (0, old), 5)
    until(pair.arrived, 15)


def test_a_sleeping_leader_is_deposed_and_doubles_nothing_when_it_wakes(pair: Pair) -> None:
    old = pair.leader()
    for _ in range(2):
        pair.commit()
        os.kill(old, signal.SIGSTOP)
        pair.commit()
        assert until(lambda: pair.leader() not in (0, old), 15) > 1  # noqa: B023
        until(pair.arrived, 20)
        os.kill(old, signal.SIGCONT)
        pair.commit()
        until(pair.arrived, 20)
        time.sleep(1)
        assert pair.arrived()
        old = pair.leader()


def test_a_leader_whose_connections_are_cut_comes_back_or_is_followed(pair: Pair) -> None:
    for _ in range(3):
        pair.commit()
        pair.record.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like %s", (f"{NAME} %",)
        )
        pair.commit()
        until(pair.arrived, 20)
    assert pair.leader() > 0
