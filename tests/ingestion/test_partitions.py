"""Months are there before their rows, made once, whoever asks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import derived_id, first_id
from core.postgres import Postgres, connect
from ingestion.partitions import ensure_ahead, ensure_months, ensure_months_blocking, month_of, next_month

OLD = [datetime(2011, 5, 3, 9, tzinfo=UTC), datetime(2014, 3, 20, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]
moments = st.datetimes(datetime(1970, 1, 2), datetime(2261, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments)
def test_a_moment_lies_in_its_month_and_its_id_between_the_months_bounds(moment: datetime) -> None:
    month = month_of(moment)
    assert month <= moment < next_month(month)
    assert next_month(month).day == 1
    assert first_id(month) <= derived_id(moment, "x") < first_id(next_month(month))


def test_the_month_is_that_of_utc() -> None:
    assert month_of(datetime(2024, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == datetime(
        2024, 2, 1, tzinfo=UTC
    )


async def test_rows_of_old_months_find_their_partition(postgres: Postgres) -> None:
    async with postgres.transaction() as connection:
        made = await ensure_months(connection, OLD, ["events"])
    assert made == ["events_2011_05", "events_2014_03", "events_2020_01"]
    for moment in (*OLD, datetime(2011, 5, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2011, 5, 1, tzinfo=UTC)):
        await postgres.fetch(
            "insert into events (event_id, school_id, event_name, occurred_at) values (%s, 1, 'x', %s)",
            (derived_id(moment, moment), moment),
        )
    rows = await postgres.fetch(
        "select tableoid::regclass::text as part, count(*), min(seq) as seq from events group by 1"
    )
    assert sorted((row["part"], row["count"]) for row in rows) == [
        ("events_2011_05", 3),
        ("events_2014_03", 1),
        ("events_2020_01", 1),
    ]
    assert all(row["seq"] for row in rows)


async def test_a_second_call_makes_nothing(postgres: Postgres) -> None:
    async with postgres.transaction() as connection:
        assert len(await ensure_months(connection, OLD)) == 6
        assert await ensure_months(connection, OLD) == []
    with connect(postgres.url) as blocking:
        assert ensure_months_blocking(blocking, OLD) == []
        assert ensure_months_blocking(blocking, [OLD[0] + timedelta(days=40)], ["responses"]) == ["responses_2011_06"]


async def test_this_month_and_the_next_are_made_ahead(postgres: Postgres) -> None:
    async with postgres.transaction() as connection:
        assert len(await ensure_ahead(connection, 3)) == 8
    for table in ("responses", "events"):
        (row,) = await postgres.fetch("select count(*) from pg_inherits where inhparent = %s::regclass", (table,))
        assert row["count"] == 4


async def test_many_at_once_make_each_month_once(postgres_url: str) -> None:
    pools = [Postgres(postgres_url, 2) for _ in range(4)]
    for pool in pools:
        await pool.open()

    async def make(pool: Postgres) -> list[str]:
        async with pool.transaction() as connection:
            return await ensure_months(connection, OLD)

    made = await asyncio.gather(*(make(pool) for pool in pools for _ in range(2)))
    assert sorted(name for names in made for name in names) == sorted(
        f"{table}_{moment:%Y_%m}" for table in ("responses", "events") for moment in OLD
    )
    for pool in pools:
        await pool.close()


def test_a_month_is_made_while_others_read_and_write(postgres_url: str) -> None:
    with connect(postgres_url) as writer, connect(postgres_url) as maker:
        ensure_months_blocking(maker, OLD[:1])
        maker.commit()
        insert = "insert into events (event_id, school_id, event_name, occurred_at) values (%s, 1, 'x', %s)"
        writer.execute(insert, (derived_id(OLD[0], 1), OLD[0]))
        maker.execute("set lock_timeout = '2s'")
        assert ensure_months_blocking(maker, OLD[1:2], ["events"]) == ["events_2014_03"]
        maker.commit()
        writer.execute(insert, (derived_id(OLD[1], 1), OLD[1]))


def test_a_partition_keeps_the_rules_of_its_table(postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        ensure_months_blocking(connection, OLD)
        values = (derived_id(OLD[0], 1), OLD[0])
        insert = "insert into events (event_id, school_id, event_name, occurred_at) values (%s, 1, 'x', %s)"
        connection.execute(insert, values)
        connection.commit()
        for statement, refusal in (
            ("update events_2011_05 set school_id = 2", psycopg.errors.RestrictViolation),
            (
                "insert into responses (response_id, school_id, session_id, quiz_id, question_id, student_id,"
                " attempt_number, submitted_at) values (%s, 1, 1, 1, 1, 1, 1, %s)",
                psycopg.errors.ForeignKeyViolation,
            ),
        ):
            with pytest.raises(refusal):
                connection.execute(statement, values if "%s" in statement else None)
            connection.rollback()
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert, values)
    assert isinstance(values[0], UUID)
