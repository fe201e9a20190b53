"""Where a table in ClickHouse differs from the record: hour by hour first, and only in those that differ row by row.

What counts is what has been loaded: rows that the pipeline's place sees, without those that ClickHouse refuses. Rows
of months that the record has no partition of are «archived»: they are nobody's surplus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ingestion.batches import Blocking, read_progress
from ingestion.partitions import PARTITIONED
from ingestion.pipelines import Pipeline
from ingestion.recovery import FINGERPRINT
from ingestion.term import Term

EVER, NEVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_LOADED = """
{table} t where t.{time} >= %(start)s and t.{time} < %(end)s
and (t.seq <= (select floor_seq from pipelines where name = '{table}')
     or pg_visible_in_snapshot(t.xid, (select done from pipelines where name = '{table}')))
and not exists (select from refused_rows r where r.key = t.{key} and r.pipeline = '{table}' and r.brought_at is null)
"""
_MONTHS = """
select right(c.relname, 7) as month from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = %s::regclass
"""


@dataclass(slots=True)
class Differences:
    """Ids: in the record only, in ClickHouse only, there more than once; and how many rows only an archive has."""

    missing: list[UUID] = field(default_factory=list)
    extra: list[UUID] = field(default_factory=list)
    duplicate: list[UUID] = field(default_factory=list)
    archived: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.duplicate)


def loaded_rows(pipeline: Pipeline) -> str:
    """`from` and `where` of the rows of a range (`start`, `end`) that have been loaded."""
    return _LOADED.format(table=pipeline.name, time=pipeline.time, key=pipeline.key)


def is_settled(term: Term, pipeline: Pipeline) -> bool:
    """Whether the pipeline stands between two windows: only then does its place say exactly what has been loaded."""
    query = "select exists (select from batches where pipeline = %s and state = 'prepared') as some"
    waiting = term.connection.execute(query, (pipeline.name,)).fetchall()[0]["some"]
    return not waiting and not read_progress(term.connection, pipeline.name).open


def differences(
    term: Term, pipeline: Pipeline, table: str, start: datetime = EVER, end: datetime = NEVER
) -> Differences:
    """Compare `table` with the record within [start, end)."""
    record, there = _record_hours(term.connection, pipeline, start, end), _hours(term, pipeline, table, start, end)
    hours = [hour for hour in record.keys() | there.keys() if record.get(hour) != there.get(hour)]
    found = Differences()
    if not hours:
        return found
    in_record = _record_keys(term.connection, pipeline, start, end, hours)
    counts = _keys(term, pipeline, table, start, end, hours)
    months = _months(term.connection, pipeline)
    found.missing = sorted(in_record - counts.keys())
    found.duplicate = [key for key, count in counts.items() if count > 1 and key in in_record]
    for key in counts.keys() - in_record:
        if months is None or month_of_key(key) in months:
            found.extra.append(key)
        else:
            found.archived += counts[key]
    return found


def month_of_key(key: UUID) -> str:
    """The month of a UUIDv7, `2026_11`."""
    return f"{datetime.fromtimestamp((key.int >> 80) / 1000, UTC):%Y_%m}"


def _months(connection: Blocking, pipeline: Pipeline) -> set[str] | None:
    if pipeline.name not in PARTITIONED:
        return None
    return {row["month"] for row in connection.execute(_MONTHS, (pipeline.name,)).fetchall()}


def _record_hours(
    connection: Blocking, pipeline: Pipeline, start: datetime, end: datetime
) -> dict[int, tuple[int, int]]:
    low = f"('x' || encode(substr(uuid_send(t.{pipeline.key}), 9), 'hex'))::bit(64)::bigint"
    query = f"""select floor(extract(epoch from t.{pipeline.time}) / 3600)::bigint as hour, count(*) as rows,
                       bit_xor({low}) as value from {loaded_rows(pipeline)} group by 1"""
    rows = connection.execute(query, {"start": start, "end": end}).fetchall()
    return {row["hour"]: (row["rows"], row["value"] & 0xFFFF_FFFF_FFFF_FFFF) for row in rows}


def _record_keys(
    connection: Blocking, pipeline: Pipeline, start: datetime, end: datetime, hours: Sequence[int]
) -> set[UUID]:
    query = f"""select t.{pipeline.key} as key from {loaded_rows(pipeline)}
                and floor(extract(epoch from t.{pipeline.time}) / 3600)::bigint = any(%(hours)s)"""
    rows = connection.execute(query, {"start": start, "end": end, "hours": list(hours)}).fetchall()
    return {row["key"] for row in rows}


def _hours(term: Term, pipeline: Pipeline, table: str, start: datetime, end: datetime) -> dict[int, tuple[int, int]]:
    query = f"""SELECT {_hour(pipeline)} AS hour, count(), {FINGERPRINT.format(key=pipeline.key)}
                FROM {table} WHERE {within(pipeline, start, end)} GROUP BY hour"""
    return {hour: (count, value) for hour, count, value in _ask(term, query)}


def _keys(
    term: Term, pipeline: Pipeline, table: str, start: datetime, end: datetime, hours: Sequence[int]
) -> dict[UUID, int]:
    query = f"""SELECT {pipeline.key}, count() FROM {table} WHERE {within(pipeline, start, end)}
                AND {_hour(pipeline)} IN {{hours:Array(Int64)}} GROUP BY {pipeline.key}"""
    return dict(_ask(term, query, hours=list(hours)))


def _hour(pipeline: Pipeline) -> str:
    return f"toInt64(floor(toUnixTimestamp64Milli({pipeline.time}) / 3600000))"


def within(pipeline: Pipeline, start: datetime, end: datetime) -> str:
    """The condition of a range in ClickHouse."""
    low = f"{pipeline.time} >= {_instant(start)}" if start > EVER else "1"
    return f"({low} AND {pipeline.time} < {_instant(end)})" if end < NEVER else f"({low})"


def _instant(moment: datetime) -> str:
    return f"fromUnixTimestamp64Milli({int(moment.timestamp() * 1000)})"


def _ask(term: Term, query: str, **parameters: Any) -> Sequence[Any]:
    return term.warehouse.call(lambda client: client.query(query, parameters=parameters)).result_rows
