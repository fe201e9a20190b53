"""The chain: every line is in it, whatever the order of commits, and any change of the past is found."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from api.audit import store
from api.audit.chain import verify
from api.audit.entries import Entry
from core.postgres import Postgres


async def write(postgres: Postgres, entries: Sequence[Entry]) -> None:
    async with postgres.transaction() as connection:
        await store.append(connection, entries)


async def filled(postgres: Postgres, number: int) -> None:
    await write(postgres, [Entry(f"user.read_{n}", "admin", 1, 1, (n,), details={"n": n}) for n in range(number)])


async def tamper(postgres: Postgres, statement: str) -> None:
    """What somebody with all rights over the database could do."""
    async with postgres.transaction() as connection:
        await connection.execute("alter table audit_log disable trigger all")
        await connection.execute(statement)
        await connection.execute("alter table audit_log enable trigger all")


async def test_many_writers_make_one_chain_without_gaps(postgres: Postgres) -> None:
    await asyncio.gather(*(write(postgres, [Entry("user.read", "admin", n, 1)] * 1) for n in range(20)))
    await filled(postgres, 7)
    found = await asyncio.to_thread(verify, postgres.url)
    assert (found.whole, found.lines) == (True, 27)
    rows = await postgres.fetch("select chain from audit_log order by seq")
    assert sorted(row["chain"] for row in rows) == list(range(1, 28))


async def test_a_line_written_again_after_a_lost_answer_is_there_once(postgres: Postgres) -> None:
    entries = [Entry("user.read", "admin", 1, 1), Entry("user.read", "admin", 2, 1)]
    await write(postgres, entries)
    await write(postgres, [*entries, Entry("user.read", "admin", 3, 1)])
    found = await asyncio.to_thread(verify, postgres.url)
    assert (found.whole, found.lines) == (True, 3)


async def test_a_rolled_back_change_leaves_no_line_and_no_gap(postgres: Postgres) -> None:
    with pytest.raises(ZeroDivisionError):
        async with postgres.transaction() as connection:
            await store.append(connection, [Entry("user.changed", "admin", 1, 1)])
            raise ZeroDivisionError
    await filled(postgres, 2)
    assert (await asyncio.to_thread(verify, postgres.url)).lines == 2


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_log set actor_id = 99 where chain = 3",
        "update audit_log set details = '{}' where chain = 3",
        "update audit_log set subjects = '{}' where chain = 3",
        "update audit_log set occurred_at = occurred_at + interval '1 microsecond' where chain = 3",
        "update audit_log set outcome = 'refused' where chain = 3",
        "update audit_log set request_id = 'another' where chain = 3",
        "update audit_log set hash = sha256('x') where chain = 3",
        "delete from audit_log where chain = 3",
        "update audit_log set chain = 100 where chain = 3",
    ],
)
async def test_a_changed_past_is_found(postgres: Postgres, statement: str) -> None:
    await filled(postgres, 6)
    await tamper(postgres, statement)
    found = await asyncio.to_thread(verify, postgres.url)
    assert not found.whole
    assert found.broken_at in {3, 4}
    assert found.problem


async def test_a_cut_end_is_found_by_an_older_head(postgres: Postgres) -> None:
    await filled(postgres, 6)
    head = (await asyncio.to_thread(verify, postgres.url)).head
    assert (await asyncio.to_thread(verify, postgres.url, head)).whole
    await tamper(postgres, "delete from audit_log where chain > 4")
    assert (await asyncio.to_thread(verify, postgres.url)).whole
    assert not (await asyncio.to_thread(verify, postgres.url, head)).whole


@pytest.mark.parametrize(
    "statement", ["update audit_log set action = 'x'", "delete from audit_log", "truncate audit_log"]
)
async def test_the_log_refuses_every_change(postgres: Postgres, statement: str) -> None:
    await filled(postgres, 1)
    with pytest.raises(psycopg.errors.RestrictViolation):
        await postgres.fetch(statement)


async def test_what_an_operator_did_is_told_to_the_school_of_each_person(postgres: Postgres) -> None:
    await postgres.fetch("insert into schools (name) values ('a'), ('b')")
    await postgres.fetch("insert into users (school_id, role, name) values (1, 'student', 'x'), (2, 'student', 'y')")
    await write(postgres, [Entry("query.answered", "operator", None, None, (1, 2, 99))])
    rows = await postgres.fetch("select school_id, subjects from audit_log order by school_id nulls last")
    assert [(row["school_id"], row["subjects"]) for row in rows] == [(1, [1]), (2, [2]), (None, [99])]
