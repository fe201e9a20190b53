"""Random lives of the path against sets and dicts in Python: whatever happens, each committed row arrives once.

Transactions commit out of order, roll back, use savepoints, are prepared and committed by somebody else; another
database of the cluster holds a transaction open; the loader dies at random arrows; parts are lost from a batch that
was not confirmed; schools come, change and go; people are erased while their last events are still under way. After
each settling, ClickHouse holds what the model holds.
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
from tests.ingestion.rows import event

_EXAMPLES, _STEPS = (300, 80) if os.environ.get("EDU_HYPOTHESIS") == "nightly" else (15, 40)
_BATCH_ROWS = 7
_MOST_PARKED = 8  # the server of the tests has room for 16
_PHASES = (Phase.generate,) if _EXAMPLES < 100 else tuple(Phase)  # to shrink a life takes minutes
_LAST_MONTH = timedelta(days=34)
_NAMES = list(ARROWS)
_LOADING = _NAMES[_NAMES.index("elected") : _NAMES.index("exhausted") + 1]
_ERASING = ["amend_erasing", "amend_erased", "amend_sent", "amend_archived", "amend_certified"]
_PEOPLE = 3
_MOST_PASSES = 400
_EVENT = """
insert into events (event_id, school_id, user_id, event_name, occurred_at, props)
values (%(event_id)s, %(school_id)s, %(user_id)s, 'content_viewed', %(occurred_at)s, '{}')
"""
_PERSON = "insert into users (school_id, role, name) values (%s, 'student', 'Ann') returning id"
_ERASE = """
insert into amendments (kind, subject, school_id, asked_role, settle_seconds)
values ('erasure', %s, %s, 'operator', 3600)
"""
_TIME_PASSES = "update amendments set settle_seconds = 0, settle_until = clock_timestamp() where subject = any(%s)"
_GOING = "select count(*) from amendments where state <> 'done' and subject = any(%s)"
_numbers = count(1)


class Crash(Exception):
    """The loader dies."""


class Session:
    """A connection with its transaction: the events and schools that it will have brought when it commits."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.events: set[UUID] = set()
        self.schools: dict[int, str | None] = {}

    def write(self, number: int, person: int | None) -> set[UUID]:
        """Insert events of two months, of a person or nobody."""
        moments = [now() - _LAST_MONTH * (index % 2) for index in range(number)]
        rows = [event(occurred_at=moment) | {"user_id": person} for moment in moments]
        self.connection.cursor().executemany(_EVENT, rows)
        return {row["event_id"] for row in rows}

    def take(self) -> tuple[set[UUID], dict[int, str | None]]:
        """What it holds; afterwards it holds nothing."""
        found = self.events, self.schools
        self.events, self.schools = set(), {}
        return found


class Life(RuleBasedStateMachine):
    """One database and one ClickHouse; `events` and `schools` are what is committed.

    `asked`: whose erasure is asked for; `past`: of whom nothing is under way any more, so he must be gone."""

    server: str
    folder: Path
    own: Path

    @initialize()
    def open(self) -> None:
        """Fresh stores, three writers, somebody in another database."""
        self.name = f"life_{next(_numbers)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"create database {self.name} template template_edu strategy file_copy")
        self.url = database(self.server, self.name)
        with psycopg.connect(self.url) as connection:
            ensure_months_blocking(connection, [now(), now() - _LAST_MONTH])
            self.home: int = connection.execute("insert into schools (name) values ('home') returning id").fetchall()[
                0
            ][0]
            self.people = [connection.execute(_PERSON, (self.home,)).fetchall()[0][0] for _ in range(_PEOPLE)]
        self.warehouse = Warehouse(f"chdb://{self.folder}?database={self.name}", threads=1)
        self.warehouse.call(_create)
        self.writers = [Session(self.url) for _ in range(3)]
        self.elsewhere: psycopg.Connection[Any] | None = None
        self.parked: dict[str, tuple[set[UUID], dict[int, str | None]]] = {}
        self.events: set[UUID] = set()
        self.schools: dict[int, str | None] = {self.home: "home"}
        self.author: dict[UUID, int | None] = {}
        self.asked: set[int] = set()
        self.past: set[int] = set()
        self.term: Term | None = None

    who = st.integers(0, 2)
    whose = st.integers(0, _PEOPLE)

    @rule(who=who, number=st.integers(1, 20), whose=whose)
    def write(self, who: int, number: int, whose: int) -> None:
        """Some events in an open transaction."""
        self.writers[who].events |= self._write(who, number, whose)

    @rule(who=who, undone=st.booleans(), whose=whose)
    def write_in_a_savepoint(self, who: int, undone: bool, whose: int) -> None:
        """Rows of a subtransaction carry the number of the whole one."""
        writer = self.writers[who]
        writer.connection.execute("select 1")
        with writer.connection.transaction(force_rollback=undone):
            written = self._write(who, 2, whose)
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
        mine = {key: kept for key, kept in self.schools.items() if key != self.home}
        free = sorted(key for key, kept in mine.items() if kept and not any(key in held for held in others))
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

    @precondition(lambda self: len(self.asked) < _PEOPLE)
    @rule(pick=st.integers(0, 99))
    def ask_for_an_erasure(self, pick: int) -> None:
        """Somebody is to go; for an hour what he has under way may come in."""
        left = [person for person in self.people if person not in self.asked]
        person = left[pick % len(left)]
        with psycopg.connect(self.url) as connection:
            connection.execute(_ERASE, (person, self.home))
        self.asked.add(person)

    @precondition(lambda self: self.asked - self.past)
    @rule(pick=st.integers(0, 99), loaded=st.booleans())
    def come_in_late(self, pick: int, loaded: bool) -> None:
        """A request of somebody who is going ends, perhaps when the record knows him no more."""
        if loaded:
            self._pass()
        going = sorted(self.asked - self.past)
        person = going[pick % len(going)]
        session = Session(self.url)
        with session.connection:
            written = session.write(2, person)
        self.author |= dict.fromkeys(written, person)
        self._hold_true(written, {})

    @precondition(lambda self: self.asked - self.past)
    @rule()
    def let_the_hour_pass(self) -> None:
        """For those who have nothing under way any more."""
        held = [*(writer.events for writer in self.writers), *(events for events, _ in self.parked.values())]
        self.past |= self.asked - {self.author[identifier] for events in held for identifier in events}
        with psycopg.connect(self.url) as connection:
            connection.execute(_TIME_PASSES, (list(self.past),))

    @rule()
    def load(self) -> None:
        """One pass."""
        self._pass()

    @rule(arrow=st.sampled_from([*_LOADING, *_ERASING]))
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
        """Everything that is committed is there, once, and nothing else; nothing of whoever is gone."""
        for _ in range(_MOST_PASSES):
            if not self._pass() and not self._going():
                break
        kept = self.warehouse.call(lambda client: client.query("SELECT event_id FROM events")).result_rows
        assert Counter(row[0] for row in kept) == Counter(self._expected())
        people = self.warehouse.call(lambda client: client.query("SELECT id FROM users FINAL")).result_rows
        assert {row[0] for row in people} == set(self.people) - self.asked
        named = self.warehouse.call(lambda client: client.query("SELECT id, name FROM schools FINAL")).result_rows
        assert {row[0]: row[1] for row in named} == {
            key: name for key, name in self.schools.items() if name is not None
        }

    def teardown(self) -> None:
        """Close everything; then the whole account must balance."""
        for writer in self.writers:
            writer.connection.close()
            writer.take()
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in self.parked:
                connection.execute(f"rollback prepared '{name}'")
        self.parked.clear()
        if self.elsewhere:
            self.elsewhere.close()
        try:
            self.let_the_hour_pass()
            self.settle()
            assert balance(self.url, self.warehouse, self._expected()).faults == {}
            self._read_certificates()
        finally:
            self._end_term()
            self.warehouse.call(lambda client: client.command(f"DROP DATABASE {self.name}"))
            self.warehouse.close()
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"drop database {self.name} with (force)")

    def _write(self, who: int, number: int, whose: int) -> set[UUID]:
        """Events of somebody, or of nobody where he is gone."""
        person = self.people[whose] if whose < _PEOPLE and self.people[whose] not in self.past else None
        written = self.writers[who].write(number, person)
        self.author |= dict.fromkeys(written, person)
        return written

    def _expected(self) -> set[UUID]:
        """What is committed, without whoever is gone; of those who are going, what the record has of it."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("select event_id from events where user_id = any(%s)", (list(self.asked),))
            going = {row[0] for row in rows}
        assert not [identifier for identifier in going if self.author[identifier] in self.past]
        assert going <= self.events
        return going | {identifier for identifier in self.events if self.author[identifier] not in self.asked}

    def _going(self) -> int:
        """How many erasures should come to their end and have not."""
        with psycopg.connect(self.url) as connection:
            return int(connection.execute(_GOING, (list(self.past),)).fetchall()[0][0])

    def _read_certificates(self) -> None:
        """Each counts every event that the person ever had in the record."""
        had = Counter(self.author[identifier] for identifier in self.events)
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("select subject, state, result from amendments").fetchall()
        told = {subject: (state, result["record"]["events"]) for subject, state, result in rows}
        assert told == {person: ("done", {"before": had[person], "after": 0}) for person in self.asked}

    def _hold_true(self, events: set[UUID], schools: dict[int, str | None]) -> None:
        self.events |= events
        self.schools |= schools

    def _pass(self) -> int:
        while self.term is None:  # a lock is free once its connection's end was noticed
            self.term = elect(self.url, self.warehouse, _BATCH_ROWS)
        return load_all(self.term, Settings(data_dir=self.own))

    def _end_term(self) -> None:
        if self.term:
            self.term.end()
            self.term = None


@pytest.fixture
def stage(postgres_server: str, clickhouse_folder: Path, tmp_path: Path) -> Iterator[None]:
    """Where the lives are led."""
    Life.server, Life.folder, Life.own = postgres_server, clickhouse_folder, tmp_path
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
