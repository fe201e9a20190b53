"""A loader's term of office: one connection that holds the lock, and an epoch that shuts its predecessors out."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import dict_row

from core.errors import StartupError
from core.warehouse import Warehouse
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint
from ingestion.pipelines import DIMENSIONS, FACTS

LOCK = 7_310_601
_CLAIM = """
insert into pipelines (name, cluster, epoch)
select name, (select system_identifier::text from pg_control_system()), 1 from unnest(%s::text[]) name
on conflict (name) do update set epoch = pipelines.epoch + 1
returning name, cluster, cluster = (select system_identifier::text from pg_control_system()) as ours
"""


@dataclass(slots=True)
class Term:
    """What the elected loader works with. `fresh` until it has looked after the batches of its predecessors;
    `batches` counts what it has brought; `looked` says when it last looked at a pipeline that has patience."""

    connection: Blocking
    warehouse: Warehouse
    batch_rows: int
    fresh: bool = True
    batches: int = 0
    looked: dict[str, float] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    sender: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "sender"))

    def end(self) -> None:
        """Give the office up; closing the connection releases the lock."""
        self.connection.close()
        self.sender.shutdown()


def elect(url: str, warehouse: Warehouse, batch_rows: int) -> Term | None:
    """Take office, or None while another loader of this database holds it."""
    connection = psycopg.connect(
        url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC -c datestyle=ISO", prepare_threshold=None
    )
    try:
        row = connection.execute("select pg_try_advisory_lock(%s) as got", (LOCK,)).fetchone()
        if row and row["got"]:
            failpoint("elected")
            _claim(connection)
            _step_back(connection)
            failpoint("claimed")
            return Term(connection, warehouse, batch_rows)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _claim(connection: Blocking) -> None:
    names = [pipeline.name for pipeline in FACTS] + [DIMENSIONS]
    with connection.transaction():
        for row in connection.execute(_CLAIM, (names,)).fetchall():
            if not row["ours"]:
                raise StartupError(
                    f"The pipeline {row['name']} was filled from another Postgres cluster ({row['cluster']}).",
                    hint="Transaction numbers start anew there: compare both sides, then reset `pipelines`.",
                )


def _step_back(connection: Blocking) -> None:
    """On one machine with Postgres, who asks goes before the reading of what waits."""
    if connection.info.host.startswith("/"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, connection.info.backend_pid, 10)
