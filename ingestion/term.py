"""A loader's term of office: a lock that dies with its connection, a pulse, and an epoch that shuts predecessors out.

The lock has a connection of its own, on which the loader asks something every second. A loader that is killed loses
it at once. One that is stopped, or cut off, keeps it and falls silent: the others end its connections after
`takeover` seconds and elect anew. What a loader does after that is refused by its epoch, or carries a known token.
"""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core.telemetry import log
from core.warehouse import Warehouse
from ingestion.batches import Blocking
from ingestion.courtesy import Courtesy
from ingestion.failpoints import failpoint
from ingestion.pipelines import DIMENSIONS, FACTS

LOCK = 7_310_601
NAME = "eduanalytics loader"
PULSE_SECONDS = 1.0
_CLAIM = """
insert into pipelines (name, cluster, timeline, epoch)
select name, (select system_identifier::text from pg_control_system()),
       left(pg_walfile_name(pg_current_wal_lsn()), 8), 1 from unnest(%s::text[]) name
on conflict (name) do update set epoch = pipelines.epoch + 1,
    timeline = coalesce(pipelines.timeline, excluded.timeline)
returning name, epoch, trouble
"""
# Who holds the lock; a silent holder has asked nothing for so long.
HOLDER = """
select a.pid, a.application_name, a.backend_start, clock_timestamp() - a.state_change as silence
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.classid = 0 and l.objid = %(lock)s and l.objsubid = 1 and l.granted
  and l.database = (select oid from pg_database where datname = current_database())
"""
_DEPOSE = f"""
with holder as ({HOLDER})
select a.application_name, pg_terminate_backend(a.pid) from pg_stat_activity a, holder h
where h.silence > make_interval(secs => %(seconds)s) and h.application_name like %(loader)s
  and a.application_name = h.application_name and a.datname = current_database() and a.pid <> pg_backend_pid()
"""


@dataclass(slots=True)
class Term:
    """What the elected loader works with. `fresh` until the record is known to be the one that ClickHouse was filled
    from; `unsettled`: the pipelines whose predecessors' batches have not been looked after; `ailing`: those with a
    trouble written down; `batches` counts what it has brought; `looked` says when it last looked at something that
    has patience; `resting`: failures in a row of a pipeline, and until when it rests; `work`: the command at hand;
    `amended`: grows when loaded rows were changed in place, so that a copy that was begun before is not exchanged;
    `daily`, `tallies`: audits that are under way; `lost`: the pulse has stopped; `courtesy`: who goes first."""

    url: str
    connection: Blocking
    warehouse: Warehouse
    batch_rows: int
    epochs: dict[str, int]
    office: Blocking
    ailing: set[str] = field(default_factory=set)
    fresh: bool = True
    unsettled: set[str] = field(default_factory=lambda: {pipeline.name for pipeline in FACTS})
    batches: int = 0
    looked: dict[str, float] = field(default_factory=dict)
    resting: dict[str, tuple[int, float]] = field(default_factory=dict)
    work: Any = None
    amended: int = 0
    daily: Any = None
    tallies: dict[str, Any] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    courtesy: Courtesy = field(default_factory=Courtesy)
    sender: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "sender"))

    def keep_pulse(self) -> None:
        """Tell the others every second that this loader is alive, until the term ends."""
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()

    def _pulse(self) -> None:
        try:
            while not self.ended.wait(PULSE_SECONDS):
                self.office.execute("select 1")
        except psycopg.Error:
            self.stopping.set()
            self.lost.set()

    def end(self) -> None:
        """Give the office up; closing its connection releases the lock."""
        self.ended.set()
        self.connection.close()
        self.office.close()
        self.sender.shutdown()


def elect(url: str, warehouse: Warehouse, batch_rows: int, takeover: float = 10) -> Term | None:
    """Take office, or None while another loader of this database holds it; one that is silent is deposed."""
    office = connect(url)
    try:
        row = office.execute("select pg_try_advisory_lock(%s) as got", (LOCK,)).fetchone()
        if row and row["got"]:
            failpoint("elected")
            connection = connect(url)
            epochs, ailing = _claim(connection)
            _step_back(connection)
            failpoint("claimed")
            term = Term(url, connection, warehouse, batch_rows, epochs, office, ailing)
            term.keep_pulse()
            return term
        _depose(office, takeover)
    except BaseException:
        office.close()
        raise
    office.close()
    return None


def connect(url: str) -> Blocking:
    """A connection that notices within seconds when the other side is gone."""
    return psycopg.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        options="-c timezone=UTC -c datestyle=ISO",
        prepare_threshold=None,
        application_name=f"{NAME} {socket.gethostname()[:30]}:{os.getpid()}",
        connect_timeout=10,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=15_000,
    )


def _depose(connection: Blocking, seconds: float) -> None:
    values = {"lock": LOCK, "seconds": seconds, "loader": f"{NAME} %"}
    for row in connection.execute(_DEPOSE, values).fetchall():
        log.warning("the elected loader was silent and has been deposed", loader=row["application_name"])


def _claim(connection: Blocking) -> tuple[dict[str, int], set[str]]:
    names = [pipeline.name for pipeline in FACTS] + [DIMENSIONS]
    with connection.transaction():
        rows = connection.execute(_CLAIM, (names,)).fetchall()
    return {row["name"]: row["epoch"] for row in rows}, {row["name"] for row in rows if row["trouble"]}


def _step_back(connection: Blocking) -> None:
    """On one machine with Postgres, who asks goes before the reading of what waits."""
    if connection.info.host.startswith("/"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, connection.info.backend_pid, 10)
