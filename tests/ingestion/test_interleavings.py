"""Random lives of the path against sets and dicts in Python: whatever happens, each committed row arrives once.

Transactions commit out of order, roll back, use savepoints, are prepared and committed by somebody else; another
database of the cluster holds a transaction open; the loader dies at random arrows; parts are lost from a batch that
was not confirmed; schools come, change and go. After each settling, ClickHouse holds what the model holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from core.clock import now
from core.settings import Settings
from core.tables import _create
from core.warehouse import Warehouse
from ingestion.failpoints import ARROWS, armed
from ingestion.loader import load_all
from ingestion.partitions import ensure_months_blocking
from ingestion.term import Term, elect
from tests.conftest import database
from tests.ingestion.ledger import balance
from tests.ingestion.rows import INSERT_EVENT, event

_EXAMPLES, _STEPS = (300, 80) if os.environ.get("EDU_HYPOTHESIS") == "nightly" else (15, 40)
_BATCH_ROWS = 7
_MOST_PARKED = 8  # the server of the tests has room for 16
_PHASES = (Phase.generate,) if _EXAMPLES < 100 else tuple(Phase)  # to shrink a life takes minutes
_LAST_MONTH = timedelta(days=34)
_NAMES = list(ARROWS)
_LOADING = _NAMES[_NAMES.index("elected") : _NAMES.index("exhausted") + 1]
_numbers = count(1)


class Crash(Exception):
    """The loader dies."""


class Session:
    """A connection with its transaction: the events and schools that it will have brought when it commits."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.events: set[UUID] = set()
        self.schools: dict[int, str | None] = {}

    def write(self, number: int) -> set[UUID]:
        """Insert events of two months."""
        rows = [event(occurred_at=now() - _LAST_MONTH * (index % 2)) for index in range(number)]
        self.connection.cursor().executemany(INSERT_EVENT, rows)
        return {row["event_id"] for row in rows}

    def take(self) -> tuple[set[UUID], dict[int, str | None]]:
        """What it holds; afterwards it holds nothing."""
        found = self.events, self.schools
        self.events, self.schools = set(), {}
        return found


class Life(RuleBasedStateMachine):
    """One database and one ClickHouse; `events` and `schools` are what is committed."""

    server: str
    folder: Path

    @initialize()
    def open(self) -> None:
        """Fresh stores, three writers, somebody in another database."""
        self.name = f"life_{next(_numbers)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"create database {self.name} template template_edu strategy file_copy")
        self.url = database(self.server, self.name)
        with psycopg.connect(self.url) as connection:
            ensure_months_blocking(connection, [now(), now() - _LAST_MONTH])
        self.warehouse = Warehouse(f"chdb://{self.folder}?database={self.name}", threads=1)
        self.warehouse.call(_create)
        self.writers = [Session(self.url) for _ in range(3)]
        self.elsewhere: psycopg.Connection[Any] | None = None
        self.parked: dict[str, tuple[set[UUID], dict[int, str | None]]] = {}
        self.events: set[UUID] = set()
        self.schools: dict[int, str | None] = {}
        self.term: Term | None = None

    who = st.integers(0, 2)

    @rule(who=who, number=st.integers(1, 20))
    def write(self, who: int, number: int) -> None:
        """Some events in an open transaction."""
        self.writers[who].events |= self.writers[who].write(number)

    @rule(who=who, undone=st.booleans())
    def write_in_a_savepoint(self, who: int, undone: bool) -> None:
        """Rows of a subtransaction carry the number of the whole one."""
        writer = self.writers[who]
        writer.connection.execute("select 1")
        with writer.connection.transaction(force_rollback=undone):
            written = writer.write(2)
        writer.events |= set() if undone else written

    @rule(who=who, name=st.sampled_from(["a", "b", "tab\t\\N", "naïve 🎓"]))
    def found_a_school(self, who: int, name: str) -> None:
        """A new row of a dimension."""
        writer = self.writers[who]
        query = "insert into schools (name) values (%s) returning id"
        writer.schools[writer.connection.execute(query, (name,)).fetchall()[0][0]] = name

    @rule(who=who, pick=st.integers(0, 99), name=st.sampled_from(["c", "d", None]))
    def change_a_school(self, who: int, pick: int, name: str | None) -> None:
        """A school that nobody else is changing is renamed or (None) removed."""
        others = [session.schools.keys() for session in self.writers] + [held for _, held in self.parked.values()]
        free = sorted(key for key, kept in self.schools.items() if kept and not any(key in held for held in others))
        if free:
            key, writer = free[pick % len(free)], self.writers[who]
            if name is None:
                writer.connection.execute("delete from schools where id = %s", (key,))
            else:
                writer.connection.execute("update schools set name = %s where id = %s", (name, key))
            writer.schools[key] = name

    @rule(who=who)
    def commit(self, who: int) -> None:
        """Now it is true."""
        self.writers[who].connection.commit()
        self._hold_true(*self.writers[who].take())

    @rule(who=who)
    def roll_back(self, who: int) -> None:
        """It never was."""
        self.writers[who].connection.rollback()
        self.writers[who].take()

    @rule(who=who)
    def lose_the_connection(self, who: int) -> None:
        """A client dies in its transaction."""
        self.writers[who].connection.close()
        self.writers[who] = Session(self.url)

    @precondition(lambda self: len(self.parked) < _MOST_PARKED)
    @rule(who=who)
    def prepare(self, who: int) -> None:
        """The first half of a two-phase commit."""
        name = f"parked_{next(_numbers)}"
        self.writers[who].connection.execute(f"prepare transaction '{name}'")
        self.writers[who].connection.rollback()
        self.parked[name] = self.writers[who].take()

    @precondition(lambda self: self.parked)
    @rule(pick=st.integers(0, 99), commits=st.booleans())
    def finish_a_prepared_one(self, pick: int, commits: bool) -> None:
        """The second half, by another connection."""
        name = sorted(self.parked)[pick % len(self.parked)]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"{'commit' if commits else 'rollback'} prepared '{name}'")
        held = self.parked.pop(name)
        if commits:
            self._hold_true(*held)

    @rule()
    def begin_or_end_elsewhere(self) -> None:
        """A transaction of another database has a number in every snapshot."""
        if self.elsewhere:
            self.elsewhere.close()
            self.elsewhere = None
        else:
            self.elsewhere = psycopg.connect(self.server)
            self.elsewhere.execute("select pg_current_xact_id()")

    @rule()
    def load(self) -> None:
        """One pass."""
        self._pass()

    @rule(arrow=st.sampled_from(_LOADING))
    def die(self, arrow: str) -> None:
        """One pass that ends at an arrow, if it comes there; a new loader is elected next time."""

        def crash() -> None:
            raise Crash

        with armed(arrow, crash), suppress(Crash):
            self._pass()
            return
        self._end_term()

    @rule(keep=st.integers(0, 3))
    def tear(self, keep: int) -> None:
        """A part of the insert that was not confirmed is lost; nobody is in office while that happens."""
        self._end_term()
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                "select id from batches where pipeline = 'events' and state = 'prepared'"
            ).fetchone()
        if row:
            torn = f"DELETE FROM events WHERE batch = {row[0]} AND cityHash64(event_id) % 4 >= {keep}"
            self.warehouse.call(lambda client: client.command(torn))

    @rule()
    def settle(self) -> None:
        """Everything that is committed is there, once, and nothing else."""
        while self._pass():
            pass
        kept = self.warehouse.call(lambda client: client.query("SELECT event_id FROM events")).result_rows
        assert Counter(row[0] for row in kept) == Counter(self.events)
        named = self.warehouse.call(lambda client: client.query("SELECT id, name FROM schools FINAL")).result_rows
        assert {row[0]: row[1] for row in named} == {
            key: name for key, name in self.schools.items() if name is not None
        }

    def teardown(self) -> None:
        """Close everything; then the whole account must balance."""
        for writer in self.writers:
            writer.connection.close()
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in self.parked:
                connection.execute(f"rollback prepared '{name}'")
        if self.elsewhere:
            self.elsewhere.close()
        try:
            self.settle()
            assert balance(self.url, self.warehouse, self.events).faults == {}
        finally:
            self._end_term()
            self.warehouse.call(lambda client: client.command(f"DROP DATABASE {self.name}"))
            self.warehouse.close()
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"drop database {self.name} with (force)")

    def _hold_true(self, events: set[UUID], schools: dict[int, str | None]) -> None:
        self.events |= events
        self.schools |= schools

    def _pass(self) -> int:
        while self.term is None:  # a lock is free once its connection's end was noticed
            self.term = elect(self.url, self.warehouse, _BATCH_ROWS)
        return load_all(self.term, Settings())

    def _end_term(self) -> None:
        if self.term:
            self.term.end()
            self.term = None


@pytest.fixture
def stage(postgres_server: str, clickhouse_folder: Path) -> Iterator[None]:
    """Where the lives are led."""
    Life.server, Life.folder = postgres_server, clickhouse_folder
    yield


@pytest.mark.timeout(3600)
def test_any_life_loses_and_doubles_nothing(stage: None) -> None:
    bounds = settings(
        max_examples=_EXAMPLES,
        stateful_step_count=_STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=_PHASES,
    )
    run_state_machine_as_test(Life, settings=bounds)
