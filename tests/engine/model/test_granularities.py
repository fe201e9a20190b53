"""Custom granularities against plain Python: the greatest origin + k · interval that is not after the local time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.warehouse import Warehouse
from engine.model import load_texts
from engine.model.intervals import parse_interval, shift
from engine.model.terms import Interval
from tests.engine.asking import ask, command, insert

_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
_INTERVALS = (
    *("1 year", "6 months", "5 months", "1 quarter", "2 weeks", "10 days", "36 hours", "90 minutes", "45 seconds"),
    *("1 month 2 days", "3 months 3 days 3 hours", "1 year 1 day"),
)
_MODEL = """
cubes:
  - name: t
    sql_table: moments
    dimensions:
      - {{name: id, sql: id, type: number, primary_key: true, public: true}}
      - name: at
        sql: at
        type: time
        granularities: [{{name: own, interval: {interval}, {anchor}}}]
    measures: [{{name: count, type: count}}]
"""
# Each zone's clock changes, a leap day, month ends, far before and after every origin.
_MOMENTS = [
    *(datetime(2024, 3, 31, 0, 30, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(8)),
    *(datetime(2024, 10, 27, 0, 0, tzinfo=UTC) + timedelta(minutes=20 * n) for n in range(8)),
    *(datetime(2024, 11, 3, 5, 0, tzinfo=UTC) + timedelta(minutes=20 * n) for n in range(8)),
    *(datetime(2018, 11, 4, 2, 30, tzinfo=UTC) + timedelta(minutes=20 * n) for n in range(4)),
    *(datetime(2024, 4, 6, 14, 0, tzinfo=UTC) + timedelta(minutes=20 * n) for n in range(6)),
    *(datetime(year, 2, 28, 23, 59, 59, 999000, tzinfo=UTC) for year in (1971, 2000, 2023, 2024, 2031)),
    *(datetime(2024, month, day, 12, tzinfo=UTC) for month in (1, 2, 3, 5, 12) for day in (1, 15, 29)),
]


def _bucket(local: datetime, interval: Interval, origin: datetime) -> datetime:
    """Walk from the origin, step by step, without any arithmetic on k."""

    def begin(k: int) -> datetime:
        return shift(origin, Interval(interval.months * k, interval.milliseconds * k))

    length = interval.months * 30.4 * 86_400 + interval.milliseconds / 1000
    k = int((local - origin).total_seconds() // length)
    while begin(k) > local:
        k -= 1
    while begin(k + 1) <= local:
        k += 1
    return begin(k)


@pytest.fixture(scope="module")
def moments(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """A table of moments."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=granularities", threads=1)
    command(warehouse, "CREATE TABLE moments (id UInt32, at DateTime64(3, 'UTC')) ENGINE = Memory")
    insert(warehouse, "moments", ["id", "at"], list(enumerate(_MOMENTS)))
    yield warehouse
    command(warehouse, "DROP DATABASE IF EXISTS granularities")
    warehouse.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    interval=st.sampled_from(_INTERVALS),
    zone=st.sampled_from(_ZONES),
    origin=st.datetimes(datetime.fromisoformat("1975-01-01"), datetime.fromisoformat("2060-01-01")).map(
        lambda each: each.replace(microsecond=0)
    ),
)
def test_a_bucket_is_the_last_step_from_the_origin(
    interval: str, zone: str, origin: datetime, moments: Warehouse
) -> None:
    length = parse_interval(interval)
    assert length is not None
    catalog = load_texts({"m.yml": _MODEL.format(interval=interval, anchor=f'origin: "{origin}"')}, strict=True)
    _compare(moments, catalog, zone, length, origin)


@pytest.mark.parametrize("interval", ["1 year", "6 months", "1 quarter", "1 week", "1 day", "8 hours", "20 minutes"])
@pytest.mark.parametrize("offset", ["1 day", "-3 hours", "2 months 10 days"])
def test_an_offset_moves_the_origin(interval: str, offset: str, moments: Warehouse) -> None:
    length, moved = parse_interval(interval), parse_interval(offset)
    assert length is not None
    assert moved is not None
    catalog = load_texts({"m.yml": _MODEL.format(interval=interval, anchor=f"offset: {offset}")}, strict=True)
    _compare(moments, catalog, "Europe/Berlin", length, shift(datetime.fromisoformat("2024-01-01"), moved))


def _compare(moments: Warehouse, catalog: Any, zone: str, length: Interval, origin: datetime) -> None:
    query = {"dimensions": ["t.id"], "timezone": zone, "timeDimensions": [{"dimension": "t.at", "granularity": "own"}]}
    found = {row["t.id"]: row["t.at.own"] for row in ask(moments, catalog, query)}
    for number, moment in enumerate(_MOMENTS):
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        expected = _bucket(local, length, origin).isoformat(timespec="milliseconds")
        assert found[float(number)] == expected, (moment, local)
