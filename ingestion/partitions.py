"""Monthly partitions of `responses` and `events`, made before the first row of a month comes.

A month is a range of UUIDv7 ids. A partition is made as a table of its own and then attached: that never blocks
readers or writers of the parent. One advisory lock keeps two makers apart; what exists is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from core.clock import now
from core.ids import first_id

PARTITIONED = ("responses", "events")
_LOCK = "select pg_advisory_xact_lock(7310586)"
_MISSING = """
select name from unnest(%(names)s::text[]) as name
where not exists (select from pg_class c join pg_inherits i on i.inhrelid = c.oid
                  where c.relname = name and c.relnamespace = current_schema()::regnamespace)
"""


def month_of(moment: datetime) -> datetime:
    """The first instant of the month (UTC) in which an aware `moment` lies."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """The first instant of the month after."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


async def ensure_months(
    connection: psycopg.AsyncConnection[Any], moments: Iterable[datetime], tables: Sequence[str] = PARTITIONED
) -> list[str]:
    """Make the missing partitions for `moments` within the caller's transaction; returns their names.

    Call it before the transaction has written to these tables.
    """
    wanted = _wanted(moments, tables)
    if not await _missing(connection, wanted):
        return []
    await connection.execute(_LOCK)
    names = await _missing(connection, wanted)
    for name in names:
        await connection.execute(_creation(name, *wanted[name]))
    return names


def ensure_months_blocking(
    connection: psycopg.Connection[Any], moments: Iterable[datetime], tables: Sequence[str] = PARTITIONED
) -> list[str]:
    """`ensure_months` for a blocking connection."""
    wanted = _wanted(moments, tables)
    if not _missing_blocking(connection, wanted):
        return []
    connection.execute(_LOCK)
    names = _missing_blocking(connection, wanted)
    for name in names:
        connection.execute(_creation(name, *wanted[name]))
    return names


async def ensure_ahead(connection: psycopg.AsyncConnection[Any], months: int = 3) -> list[str]:
    """Make the partitions of this month and of the next `months`; returns the new names."""
    moments = [month_of(now())]
    for _ in range(months):
        moments.append(next_month(moments[-1]))
    return await ensure_months(connection, moments)


def _wanted(moments: Iterable[datetime], tables: Sequence[str]) -> dict[str, tuple[str, datetime]]:
    months = sorted({month_of(moment) for moment in moments})
    return {f"{table}_{month:%Y_%m}": (table, month) for table in tables for month in months}


async def _missing(connection: psycopg.AsyncConnection[Any], wanted: dict[str, tuple[str, datetime]]) -> list[str]:
    async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        await cursor.execute(_MISSING, {"names": list(wanted)})
        return [name for (name,) in await cursor.fetchall()]


def _missing_blocking(connection: psycopg.Connection[Any], wanted: dict[str, tuple[str, datetime]]) -> list[str]:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        return [name for (name,) in cursor.execute(_MISSING, {"names": list(wanted)})]


def _creation(name: str, table: str, month: datetime) -> str:
    """The parent's identity column serves its partitions (PostgreSQL 17+), so `like` leaves it out."""
    lower, upper = first_id(month), first_id(next_month(month))
    return (
        f"create table {name} (like {table} including all excluding identity);"
        f"alter table {table} attach partition {name} for values from ('{lower}') to ('{upper}')"
    )
