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
from core.errors import Conflict
from core.ids import first_id

PARTITIONED = ("responses", "events")
_LOCK = "select pg_advisory_xact_lock(7310586)"
# A month that has gone to the archive is not made again: a row that belongs there is refused, for others like it are
# not in the record.
_MISSING = """
select name, exists (select from archive_months where state in ('dropping', 'archived')
                     and table_name || to_char(month, '_YYYY_MM') = name) as archived
from unnest(%(names)s::text[]) as name
where not exists (select from pg_class c join pg_inherits i on i.inhrelid = c.oid
                  where c.relname = name and c.relnamespace = current_schema()::regnamespace)
"""
_AHEAD = """
select count(*) from pg_class c join pg_inherits i on i.inhrelid = c.oid
where c.relname = any(%s) and c.relnamespace = current_schema()::regnamespace
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

    Call it before the transaction has written to these tables. An archived month is left out: its rows are refused.
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
    """`ensure_months` for a blocking connection; raises `Conflict` for an archived month."""
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


async def months_ahead(connection: psycopg.AsyncConnection[Any], most: int = 3) -> int:
    """How many months after this one have all their partitions; -1 when even this one lacks some."""
    month = month_of(now())
    for ahead in range(most + 1):
        names = list(_wanted([month], PARTITIONED))
        async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            await cursor.execute(_AHEAD, (names,))
            if (await cursor.fetchall())[0][0] < len(names):
                return ahead - 1
        month = next_month(month)
    return most


def _wanted(moments: Iterable[datetime], tables: Sequence[str]) -> dict[str, tuple[str, datetime]]:
    months = sorted({month_of(moment) for moment in moments})
    return {f"{table}_{month:%Y_%m}": (table, month) for table in tables for month in months}


async def _missing(connection: psycopg.AsyncConnection[Any], wanted: dict[str, tuple[str, datetime]]) -> list[str]:
    async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        await cursor.execute(_MISSING, {"names": list(wanted)})
        return [name for name, archived in await cursor.fetchall() if not archived]


def _missing_blocking(connection: psycopg.Connection[Any], wanted: dict[str, tuple[str, datetime]]) -> list[str]:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute(_MISSING, {"names": list(wanted)}).fetchall()
    if gone := [name for name, archived in rows if archived]:
        raise Conflict(
            f"These months are in the archive: {', '.join(sorted(gone))}.",
            code="month_archived",
            hint="Bring them back with `eduanalytics archive restore MONTH --into-postgres`, or leave their rows out.",
        )
    return [name for name, _ in rows]


def _creation(name: str, table: str, month: datetime) -> str:
    """The parent's identity column serves its partitions (PostgreSQL 17+), so `like` leaves it out."""
    lower, upper = first_id(month), first_id(next_month(month))
    return (
        f"create table {name} (like {table} including all excluding identity);"
        f"alter table {table} attach partition {name} for values from ('{lower}') to ('{upper}')"
    )
