"""Encoded facts → Postgres: staged by COPY, inserted with all constraints, committed chunk by chunk.

Several connections work at once, each on a chunk of its own. A row that is there already is compared: the same content
is unchanged, another is refused, since facts are append-only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from core.postgres import connect
from ingestion.importers.binary import END, HEADER
from ingestion.importers.dimensions import reason_of
from ingestion.importers.facts import FACT_COLUMNS, Payload
from ingestion.importers.rejects import Rejects
from ingestion.importers.report import TableReport
from ingestion.importers.tables import TABLES

_TRIES = 5
_INSERT = "insert into {table} ({columns}) select {columns} from {stage} where not again on conflict do nothing"
_CONTRADICTING = """
select s.line from {stage} s left join {table} t using ({key})
where t.{key} is null or ({current}) is distinct from ({staged})
"""
_BY_KEY = "set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_seqscan = off"


class FactWriter:
    """Writes the payloads of one table in the background; `drain` hands back each payload's counts in order."""

    def __init__(self, url: str, table: str, rejects: Rejects, connections: int = 2) -> None:
        self._url, self._table, self._rejects = url, table, rejects
        self._size = connections
        self._stage = f"staged_{table}"
        self._stack = ExitStack()
        self._connections: SimpleQueue[psycopg.Connection[Any]] = SimpleQueue()
        self._pending: deque[tuple[Payload, Future[TableReport]]] = deque()
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="import")

    def __enter__(self) -> FactWriter:
        columns = "".join(f", {name} {kind}" for name, kind in FACT_COLUMNS[self._table].items())
        for _ in range(self._size):
            connection = self._stack.enter_context(connect(self._url))
            connection.autocommit = True
            connection.execute(
                f"create temp table {self._stage} (line int, again boolean{columns}) on commit delete rows"
            )
            self._connections.put(connection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def submit(self, payload: Payload) -> None:
        """Queue a payload; the caller drains when there are too many."""
        self._pending.append((payload, self._pool.submit(self._work, payload)))

    def drain(self, *, room: int) -> Iterator[tuple[Payload, TableReport]]:
        """The finished payloads, oldest first, waiting until at most `room` are left."""
        while len(self._pending) > room:
            payload, future = self._pending.popleft()
            yield payload, future.result()

    def _work(self, payload: Payload) -> TableReport:
        connection = self._connections.get()
        try:
            report = TableReport(read=payload.read, rejected=payload.refused)
            self._write(connection, payload, range(len(payload.rows)), report)
            return report
        finally:
            self._connections.put(connection)

    def _write(self, connection: psycopg.Connection[Any], payload: Payload, rows: range, report: TableReport) -> None:
        """One transaction; a row that the database refuses is found by halving."""
        if not rows:
            return
        try:
            inserted, contradicting = _retried(lambda: self._apply(connection, payload, rows))
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            if len(rows) == 1:
                self._refuse(payload, rows[0], reason_of(error), report)
            else:
                self._write(connection, payload, rows[: len(rows) // 2], report)
                self._write(connection, payload, rows[len(rows) // 2 :], report)
            return
        report.inserted += inserted
        places = {payload.lines[place]: place for place in rows} if contradicting else {}
        for line in contradicting:
            self._refuse(
                payload, places[line], "is there already with another content; facts are never changed", report
            )

    def _refuse(self, payload: Payload, place: int, reason: str, report: TableReport) -> None:
        report.rejected += 1
        key = TABLES[self._table].key[0]
        self._rejects.add(payload.file, payload.lines[place], key, payload.ids[place], reason)

    def _apply(self, connection: psycopg.Connection[Any], payload: Payload, rows: range) -> tuple[int, list[int]]:
        """How many rows are new, and the lines of those that contradict what is there."""
        data = b"".join((HEADER, *payload.rows[rows.start : rows.stop], END))
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            with cursor.copy(f"copy {self._stage} from stdin (format binary)") as copy:
                copy.write(data)
            inserted = cursor.execute(self._sql(_INSERT)).rowcount
            if inserted == len(rows):
                return inserted, []
            cursor.execute(_BY_KEY)
            cursor.execute(self._sql(_CONTRADICTING))
            return inserted, [line for (line,) in cursor]

    def _sql(self, template: str) -> str:
        key, *others = FACT_COLUMNS[self._table]
        return template.format(
            table=self._table,
            stage=self._stage,
            key=key,
            columns=", ".join((key, *others)),
            current=", ".join(f"t.{name}" for name in others),
            staged=", ".join(f"s.{name}" for name in others),
        )


def _retried(work: Callable[[], tuple[int, list[int]]]) -> tuple[int, list[int]]:
    """Two chunks with the same rows in another order may meet in a deadlock; one of them tries again."""
    for _ in range(_TRIES - 1):
        try:
            return work()
        except psycopg.errors.DeadlockDetected:
            continue
    return work()
