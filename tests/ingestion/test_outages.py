"""When Postgres cannot write, nothing is acknowledged, each outage has its code, and what comes after is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from core.clock import now
from core.errors import TooMany, Unavailable
from core.ids import new_id
from core.postgres import Postgres
from core.settings import Settings
from ingestion.accept import Acceptor
from ingestion.letters import DeadLetter
from ingestion.partitions import ensure_ahead
from ingestion.scope import Caller
from ingestion.writer import Writer, patiently
from tests.ingestion.rows import make_school
from tests.ingestion.test_writer import row, stored

T = TypeVar("T")


@pytest.fixture
async def writer(postgres: Postgres, settings: Settings) -> AsyncIterator[Writer]:
    """Group commit, with this month's partitions."""
    async with postgres.transaction() as connection:
        await ensure_ahead(connection)
    async with Writer(postgres, settings) as opened:
        yield opened


async def _configure(postgres: Postgres, url: str, setting: str) -> None:
    """A setting of the database; every connection is made anew to see it."""
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute(f"alter database {name} {setting}")
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = %s and pid <> pg_backend_pid()",
            [name],
        )
    await postgres.pool.check()


async def test_a_read_only_record_acknowledges_nothing(postgres: Postgres, postgres_url: str, writer: Writer) -> None:
    await _configure(postgres, postgres_url, "set default_transaction_read_only = on")
    with pytest.raises(Unavailable) as caught:
        await writer.submit_events([row()])
    assert (caught.value.code, caught.value.status) == ("read_only", 503)
    await _configure(postgres, postgres_url, "reset default_transaction_read_only")
    assert await stored(postgres) == set()
    item = row()
    await writer.submit_events([item])
    assert await stored(postgres) == {item.event_id}


async def test_a_full_disk_acknowledges_nothing(postgres: Postgres, writer: Writer) -> None:
    """Postgres' own error for it, raised by the table at the moment of writing."""
    await postgres.fetch(
        """create function fail() returns trigger language plpgsql as
           $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$"""
    )
    await postgres.fetch("create trigger full_disk before insert on events for each statement execute function fail()")
    with pytest.raises(Unavailable) as caught:
        await writer.submit_events([row()])
    assert caught.value.code == "disk_full"
    await postgres.fetch("drop trigger full_disk on events")
    assert await stored(postgres) == set()
    assert await writer.submit_events([row()])


async def _again(ask: Callable[[], Awaitable[T]]) -> T:
    """As an app does: a connection of the pool may have ended without anybody having noticed."""
    for _ in range(20):
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(0.1)
    return await ask()


async def test_an_acceptor_says_so_too_and_a_retry_is_taken(
    postgres: Postgres, postgres_url: str, writer: Writer
) -> None:
    school = await make_school(postgres)
    acceptor, ann = Acceptor(postgres, writer), Caller(school["ann"], school["school"], "student")
    item = {"event_name": "student_login", "client_id": str(new_id()), "timestamp": now().isoformat()}
    await acceptor.accept([item | {"client_id": "warm"}], ann)
    await _configure(postgres, postgres_url, "set default_transaction_read_only = on")
    with pytest.raises(Unavailable, match="read-only"):
        await acceptor.accept([item, {"event_name": "nope"}], ann)
    await _configure(postgres, postgres_url, "reset default_transaction_read_only")
    (outcome, refused) = await _again(lambda: acceptor.accept([item, {"event_name": "nope"}], ann))
    assert (outcome.status, refused.status) == ("accepted", "rejected")


async def test_a_stream_waits_for_a_full_queue_and_then_gives_up(
    postgres: Postgres, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = await make_school(postgres)
    monkeypatch.setattr("ingestion.writer._TRIES", 1)
    async with postgres.transaction() as connection:
        await ensure_ahead(connection)
    async with Writer(postgres, settings.model_copy(update={"accept_queue_mb": 1})) as writer:
        acceptor, ann = Acceptor(postgres, writer), Caller(school["ann"], school["school"], "student")
        async with postgres.transaction() as other:
            await other.execute("lock table events in exclusive mode")
            waiting = asyncio.create_task(writer.submit_events([row(props='{"x": "' + "y" * 999_000 + '"}')]))
            await asyncio.sleep(0.05)
            with pytest.raises(TooMany):
                await patiently(partial(acceptor.accept, caller=ann), [{"event_name": "student_login"}] * 10)
            with pytest.raises(Unavailable):  # never 429, which says that nothing was written
                await writer.submit_dead_letters([DeadLetter(school["school"], "clock: no", '"' + "y" * 999 + '"')])
        await waiting
        assert {each.status for each in await acceptor.accept([{"event_name": "student_login"}] * 10, ann)} == {
            "accepted"
        }


async def test_two_flushers_with_the_same_events_in_another_order(postgres: Postgres, writer: Writer) -> None:
    """Both wait for each other's rows; none is lost, none is twice, each is accepted once."""
    rows = [row(number) for number in range(3_000)]
    found = await asyncio.gather(*(writer.submit_events(rows[::step]) for step in (1, -1, 1, -1)))
    statuses = [getattr(verdict, "status", "error") for verdicts in found for verdict in verdicts]
    assert (statuses.count("accepted"), statuses.count("duplicate")) == (3_000, 9_000)
    assert len(await stored(postgres)) == 3_000
