"""Group commit: acknowledged is committed; full is said; a bad row fails alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.clock import now
from core.errors import EduError, TooLarge, TooMany, Unavailable
from core.ids import derived_id, new_id
from core.postgres import Postgres
from core.settings import Settings
from ingestion.failpoints import armed
from ingestion.letters import DeadLetter
from ingestion.staging import EventRow
from ingestion.writer import Verdict, Writer


def row(number: object = None, props: str = "{}", school_id: int = 1) -> EventRow:
    """An event; the same number gives the same one."""
    moment = now().replace(microsecond=0)
    identifier = derived_id(moment, school_id, new_id() if number is None else number)
    return EventRow(identifier, school_id, 1, None, None, None, None, "app_error", 1, None, moment, None, props)


async def stored(postgres: Postgres) -> set[Any]:
    """The ids in the record."""
    return {found["event_id"] for found in await postgres.fetch("select event_id from events")}


async def test_many_requests_share_few_commits(postgres: Postgres, settings: Settings) -> None:
    commits = []
    async with Writer(postgres, settings, on_commit=lambda: commits.append(1)) as writer:
        rows = [row() for _ in range(500)]
        verdicts = await asyncio.gather(*(writer.submit_events([item]) for item in rows))
    assert all(verdict == [Verdict("accepted", item.event_id)] for verdict, item in zip(verdicts, rows, strict=True))
    assert await stored(postgres) == {item.event_id for item in rows}
    assert 1 <= len(commits) <= 5
    transactions = await postgres.fetch("select count(distinct xid) as n from events")
    assert transactions[0]["n"] == len(commits)


async def test_when_it_answers_it_is_committed(postgres: Postgres, settings: Settings) -> None:
    async with Writer(postgres, settings) as writer:
        item = row()
        await writer.submit_events([item])
        assert item.event_id in await stored(postgres)


async def test_closing_writes_what_waits(postgres: Postgres, settings: Settings) -> None:
    async with Writer(postgres, settings) as writer:
        rows = [row() for _ in range(20)]
        waiting = [asyncio.create_task(writer.submit_events([item])) for item in rows]
        await asyncio.sleep(0)
    assert all(task.done() for task in waiting) or await asyncio.gather(*waiting)
    assert await stored(postgres) == {item.event_id for item in rows}
    with pytest.raises(Unavailable):
        await writer.submit_events([row()])


async def test_duplicates_and_conflicts_in_one_group(postgres: Postgres, settings: Settings) -> None:
    async with Writer(postgres, settings) as writer:
        first = row("a")
        await writer.submit_events([first])
        other = row("b")
        got = await writer.submit_events(
            [first, replace(first, props='{"x": 1}'), other, other, replace(other, user_id=2)]
        )
    assert [item.status for item in got if isinstance(item, Verdict)] == [
        "duplicate", "conflict", "accepted", "duplicate", "conflict",
    ]  # fmt: skip


async def test_a_full_queue_says_so_and_empties_again(postgres: Postgres, settings: Settings) -> None:
    small = settings.model_copy(update={"accept_queue_mb": 1})
    half = '{"x": "' + "y" * 600_000 + '"}'
    async with Writer(postgres, small) as writer:
        first = asyncio.create_task(writer.submit_events([row(props=half)]))
        await asyncio.sleep(0)
        with pytest.raises(TooMany) as caught:
            await writer.submit_events([row(props=half)])
        assert caught.value.retry_after == 1
        with pytest.raises(TooLarge):
            await writer.submit_events([row(props=half), row(props=half)])
        await first
        assert await writer.submit_events([row(props=half)])
    assert len(await stored(postgres)) == 2


async def test_what_was_refused_waits_for_room_for_its_neighbours_are_committed(
    postgres: Postgres, settings: Settings
) -> None:
    """A 429 would be sent again, and an event without a client_id would count twice."""
    half = '{"x": "' + "y" * 600_000 + '"}'
    async with Writer(postgres, settings.model_copy(update={"accept_queue_mb": 1})) as writer:
        first = asyncio.create_task(writer.submit_events([row(props=half)]))
        await asyncio.sleep(0)
        letter = DeadLetter(school_id=1, reason="clock: no", payload=half)
        with pytest.raises(TooMany):
            await writer.submit_events([row(props=half)])
        await writer.submit_dead_letters([letter])
        await first
    assert len(await postgres.fetch("select 1 from dead_letters")) == 1


async def test_a_row_that_the_record_refuses_fails_alone(postgres: Postgres, settings: Settings) -> None:
    async with Writer(postgres, settings) as writer:
        rows = [row() for _ in range(20)]
        rows[7] = row(props="no json")
        verdicts = await asyncio.gather(*(writer.submit_events([item]) for item in rows))
    assert isinstance(verdicts[7][0], EduError)
    assert [isinstance(verdict[0], Verdict) for verdict in verdicts] == [number != 7 for number in range(20)]
    assert await stored(postgres) == {item.event_id for item in rows if item is not rows[7]}


async def test_without_postgres_nothing_is_acknowledged(postgres_url: str, settings: Settings) -> None:
    postgres = Postgres(postgres_url, 2)
    await postgres.open()
    async with Writer(postgres, settings) as writer:
        await postgres.close()
        with pytest.raises(Unavailable):
            await writer.submit_events([row()])


async def test_a_lost_answer_after_the_commit_is_a_duplicate_at_the_retry(
    postgres: Postgres, settings: Settings
) -> None:
    def lose() -> None:
        raise ConnectionError("the answer is lost")

    async with Writer(postgres, settings) as writer:
        item = row("a")
        with armed("accepted", lose), pytest.raises(Unavailable):
            await writer.submit_events([item])
        assert await writer.submit_events([item]) == [Verdict("duplicate", item.event_id)]


async def test_a_month_without_a_partition_gets_one(postgres: Postgres, settings: Settings) -> None:
    moment = now().replace(year=2019)
    item = replace(row(), event_id=derived_id(moment, 1, "old"), occurred_at=moment)
    async with Writer(postgres, settings) as writer:
        assert await writer.submit_events([item]) == [Verdict("accepted", item.event_id)]
