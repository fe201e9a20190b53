"""Lines about reads: written in groups, kept while the record is away, never dropped in silence."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from api.audit.entries import MOST_SUBJECTS, Entry, make_entry
from api.audit.queue import AuditLog
from api.principal import Principal
from core.errors import Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import configure_logging


def line(number: int, action: str = "user.read") -> Entry:
    return Entry(action, "admin", number, 1)


async def written(postgres: Postgres) -> list[int]:
    return [row["actor_id"] for row in await postgres.fetch("select actor_id from audit_log order by chain")]


async def test_lines_come_in_order_and_in_few_transactions(postgres: Postgres) -> None:
    async with AuditLog(postgres) as log:
        for number in range(300):
            await log.note(line(number))
        await log.flush()
        assert await written(postgres) == list(range(300))
    rows = await postgres.fetch("select count(distinct xid::text) as n from audit_log")
    assert rows[0]["n"] <= 5


async def test_closing_writes_what_waits(postgres: Postgres) -> None:
    async with AuditLog(postgres) as log:
        await log.note(line(1))
    assert await written(postgres) == [1]


async def test_a_full_queue_refuses_instead_of_dropping(postgres: Postgres) -> None:
    await postgres.fetch("alter table audit_log rename to elsewhere")
    async with AuditLog(postgres, most=3, patience=0.3) as log:
        for number in range(3):
            await log.note(line(number))
        with pytest.raises(Unavailable):
            await log.note(line(3))
        await postgres.fetch("alter table elsewhere rename to audit_log")
        await log.flush(20)
        await log.note(line(4))
    assert await written(postgres) == [0, 1, 2, 4]


async def test_lines_wait_while_the_record_is_away_and_then_are_written(postgres: Postgres) -> None:
    await postgres.fetch("alter table audit_log rename to elsewhere")
    async with AuditLog(postgres) as log:
        await log.note(line(1))
        await asyncio.sleep(0.3)
        await log.note(line(2))
        await postgres.fetch("alter table elsewhere rename to audit_log")
        await log.flush(20)
    assert await written(postgres) == [1, 2]


async def test_a_line_that_the_record_refuses_does_not_hold_the_others_back(postgres: Postgres) -> None:
    async with AuditLog(postgres) as log:
        await log.note(line(1))
        await log.note(line(2, action=""))
        await log.note(line(3))
        await log.flush(20)
    assert await written(postgres) == [1, 3]


async def test_without_a_record_a_line_goes_to_the_servers_log(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    configure_logging(Settings(log_level="info"))
    try:
        async with AuditLog(None) as log:
            await log.note(line(7))
    finally:
        structlog.configure(**before)
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["action"] == "user.read"


def test_many_people_are_counted_and_not_named() -> None:
    few = make_entry(Principal("admin", 1, 1), "user.listed", subjects=[3, 1, 3])
    assert (few.subjects, few.details) == ((1, 3), {})
    many = make_entry(Principal("admin", 1, 1), "user.listed", subjects=range(MOST_SUBJECTS + 1))
    assert (many.subjects, many.details) == ((), {"subjects": MOST_SUBJECTS + 1})
