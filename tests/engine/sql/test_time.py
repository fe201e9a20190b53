"""Time in the query's zone, for every kind of column, at every size of bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InvalidDate, InvalidQuery
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, compile_query
from engine.model import load_texts
from engine.model.columns import typed
from engine.query.request import Filter, Order, TimeDimension
from engine.run.columns import describe
from tests.engine.asking import ask, command, insert

_COLUMNS = {
    "date": "Date",
    "date32": "Date32",
    "seconds": "DateTime",
    "zoned": "DateTime('Asia/Tokyo')",
    "millis": "DateTime64(3, 'UTC')",
    "micros": "DateTime64(6, 'America/New_York')",
    "maybe": "Nullable(DateTime64(3))",
    "low": "LowCardinality(Nullable(DateTime))",
}
_HEAD = """
cubes:
  - name: t
    sql_table: t
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
"""
_MODEL = _HEAD + "".join(f"      - {{name: {name}, sql: {name}, type: time}}\n" for name in _COLUMNS)


@pytest.fixture
def store(bare_warehouse: Warehouse) -> Warehouse:
    """One moment, 2024-03-10 02:59:59.999 in UTC, in every type; dates have its UTC day."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    settings_ = {"allow_suspicious_low_cardinality_types": 1}
    bare_warehouse.call(
        lambda client: client.command(
            f"CREATE TABLE t (id Int64, {columns}) ENGINE = MergeTree ORDER BY date", settings=settings_
        )
    )
    moment = "toDateTime64('2024-03-10 02:59:59.999', 3, 'UTC')"
    values = ", ".join("toDate('2024-03-10')" if name.startswith("date") else moment for name in _COLUMNS)
    command(bare_warehouse, f"INSERT INTO t SELECT 1, {values}")
    return bare_warehouse


@pytest.fixture(params=["types known", "types unknown"])
def catalog(store: Warehouse, request: pytest.FixtureRequest) -> Catalog:
    """A time dimension for every type, which the planner knows or not."""
    plain = load_texts({"t.yml": _MODEL}, strict=True)
    return _typed(store, plain) if request.param == "types known" else plain


def _typed(store: Warehouse, catalog: Catalog) -> Catalog:
    return typed(catalog, store.call(lambda client: describe(client, catalog)))


@pytest.mark.parametrize("name", _COLUMNS)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_every_column_type_reads_as_the_clock_on_the_wall(
    store: Warehouse, catalog: Catalog, name: str, zone: str
) -> None:
    utc = datetime(2024, 3, 10, 2, 59, 59, 999000, UTC)
    if name in ("seconds", "zoned", "low"):
        utc = utc.replace(microsecond=0)
    local = utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if name.startswith("date"):
        local = datetime.fromisoformat("2024-03-10")  # a date has no zone: it is the same day everywhere
    times = tuple(TimeDimension(f"t.{name}", grain) for grain in ("hour", "day", "month"))
    row = ask(store, catalog, Query(dimensions=(f"t.{name}",), time_dimensions=times, timezone=zone))[0]
    hour, day = (
        local.replace(minute=0, second=0, microsecond=0),
        local.replace(hour=0, minute=0, second=0, microsecond=0),
    )
    assert list(row.values()) == [
        each.isoformat(timespec="milliseconds") for each in (local, hour, day, day.replace(day=1))
    ]


@pytest.mark.parametrize("name", _COLUMNS)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_day_holds_its_rows_and_no_others(store: Warehouse, catalog: Catalog, name: str, zone: str) -> None:
    utc = datetime(2024, 3, 10, 2, 59, 59, tzinfo=UTC)
    here = "2024-03-10" if name.startswith("date") else utc.astimezone(ZoneInfo(zone)).date().isoformat()
    for day in ("2024-03-09", "2024-03-10", "2024-03-11"):
        span = (f"{day}T00:00:00.000", f"{day}T23:59:59.999")
        rows = ask(
            store,
            catalog,
            Query(dimensions=("t.id",), time_dimensions=(TimeDimension(f"t.{name}", None, span),), timezone=zone),
        )
        assert bool(rows) == (day == here), day


def test_the_last_microseconds_of_a_range_belong_to_it(store: Warehouse, catalog: Catalog) -> None:
    command(store, "INSERT INTO t (id, micros) SELECT 2, toDateTime64('2024-05-31 23:59:59.999999', 6, 'UTC')")
    span = ("2024-05-01T00:00:00.000", "2024-05-31T23:59:59.999")
    assert (
        len(ask(store, catalog, Query(dimensions=("t.id",), time_dimensions=(TimeDimension("t.micros", None, span),))))
        == 1
    )


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("equals", "2024-03-10T02:59:59.999", True), ("equals", "2024-03-10T02:59:59.998", False),
        ("notEquals", "2024-03-10T02:59:59.999", False), ("gt", "2024-03-10T02:59:59.999", False),
        ("gte", "2024-03-10T02:59:59.999", True), ("lt", "2024-03-10T02:59:59.999", False),
        ("lte", "2024-03-10T02:59:59.999", True), ("beforeDate", "2024-03-10", False),
        ("beforeOrOnDate", "2024-03-10", True), ("afterDate", "2024-03-10", False),
        ("afterOrOnDate", "2024-03-10", True), ("onTheDate", "2024-03-10", True), ("onTheDate", "2024-03-11", False),
    ],
)  # fmt: skip
def test_date_operators(store: Warehouse, catalog: Catalog, operator: str, value: str, found: bool) -> None:
    query = Query(dimensions=("t.id",), filters=(Filter("t.millis", operator, (value,)),))
    assert bool(ask(store, catalog, query)) is found


def test_the_hour_that_does_not_exist_and_the_hour_that_comes_twice(store: Warehouse, catalog: Catalog) -> None:
    moments = ["2024-03-10 06:59:59", "2024-03-10 07:00:00", "2024-11-03 05:30:00", "2024-11-03 06:30:00"]
    for number, moment in enumerate(moments):
        command(store, f"INSERT INTO t (id, maybe) SELECT {10 + number}, toDateTime64('{moment}', 3, 'UTC')")
    hours = Query(
        time_dimensions=(TimeDimension("t.maybe", "hour"),),
        filters=(Filter("t.id", "gte", ("10",)),),
        timezone="America/New_York",
    )
    assert [row["t.maybe.hour"] for row in ask(store, catalog, hours)] == [
        "2024-03-10T01:00:00.000",
        "2024-03-10T03:00:00.000",
        "2024-11-03T01:00:00.000",
    ]
    in_gap = Query(
        dimensions=("t.id",),
        time_dimensions=(TimeDimension("t.maybe", None, ("2024-03-10T02:30:00.000", "2024-11-03T01:59:59.999")),),
        timezone="America/New_York",
    )
    assert [row["t.id"] for row in ask(store, catalog, in_gap)] == [11.0, 12.0, 13.0]


def test_a_date_range_prunes_keys_and_partitions(bare_warehouse: Warehouse) -> None:
    command(
        bare_warehouse,
        "CREATE TABLE big (id Int64, at DateTime64(3, 'UTC')) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY at",
    )
    command(
        bare_warehouse,
        "INSERT INTO big SELECT number, toDateTime64('2024-01-01', 3, 'UTC') + toIntervalHour(number) "
        "FROM numbers(8000)",
    )
    model = "cubes: [{name: big, sql_table: big, dimensions: [{name: at, sql: at, type: time}],"
    model += " measures: [{name: count, type: count}],"
    model += " access_policy: [{group: '*', row_level: {filters: [{member: at, operator: set}]}}]}]"
    catalog = load_texts({"big.yml": model})
    span = ("2024-03-01T00:00:00.000", "2024-03-31T23:59:59.999")
    query = Query(
        measures=("big.count",), time_dimensions=(TimeDimension("big.at", "day", span),), timezone="Europe/Berlin"
    )
    statement = compile_query(catalog, query, SecurityContext())
    plan = bare_warehouse.call(
        lambda client: client.query(
            f"EXPLAIN indexes = 1 {statement.sql}",
            parameters=dict(statement.parameters),
            settings=dict(statement.settings),
        )
    )
    parts = [str(row[0]).strip() for row in plan.result_rows if str(row[0]).strip().startswith("Parts:")]
    assert "Parts: 2/11" in parts, plan.result_rows


def test_a_zone_or_a_date_that_nobody_knows_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidQuery, match="IANA"):
        compile_query(catalog, Query(dimensions=("t.id",), timezone="Mars/Olympus'"), SecurityContext())
    with pytest.raises(InvalidDate):
        compile_query(
            catalog, Query(dimensions=("t.id",), filters=(Filter("t.millis", "gt", ("soon",)),)), SecurityContext()
        )


_FIRST, _LAST = datetime.fromisoformat("1950-01-01"), datetime.fromisoformat("2090-01-01")
_INTERVALS = {
    "1 year": relativedelta(years=1),
    "6 months": relativedelta(months=6),
    "2 quarters": relativedelta(months=6),
    "5 weeks": relativedelta(weeks=5),
    "10 days": relativedelta(days=10),
    "90 minutes": relativedelta(minutes=90),
    "7 seconds": relativedelta(seconds=7),
    "3 months 3 days 3 hours": relativedelta(months=3, days=3, hours=3),
    "1 month 15 days": relativedelta(months=1, days=15),
}
_ORIGINS = ["2024-08-15", "2024-01-31", "2020-02-29 10:00:00", "1999-12-31"]


@pytest.fixture(scope="module")
def custom(clickhouse_folder: Path) -> Any:
    """A warehouse, and a cube with every interval from every origin."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=custom", threads=1)
    command(warehouse, "CREATE TABLE m (id Int64, at DateTime64(3, 'UTC')) ENGINE = Memory")
    lines = _HEAD.replace(": t\n", ": m\n").splitlines()
    lines += ["      - name: at", "        sql: at", "        type: time", "        granularities:"]
    for i, interval in enumerate(_INTERVALS):
        for o, origin in enumerate(_ORIGINS):
            lines.append(f"          - {{name: g{i}_{o}, interval: {interval}, origin: '{origin}'}}")
    lines.append("          - {name: school_year, interval: 1 year, offset: -5 months}")
    lines.append("          - {name: sunday_week, interval: 1 week, offset: -1 day}")
    yield warehouse, _typed(warehouse, load_texts({"m.yml": "\n".join(lines)}, strict=True))
    command(warehouse, "DROP DATABASE custom")
    warehouse.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    moments=st.lists(st.datetimes(_FIRST, _LAST), min_size=1, max_size=6),
    interval=st.sampled_from(sorted(_INTERVALS)),
    origin=st.sampled_from(_ORIGINS),
    zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]),
)
def test_custom_buckets_begin_at_the_origin_and_never_in_the_future(
    custom: tuple[Warehouse, Catalog], moments: list[datetime], interval: str, origin: str, zone: str
) -> None:
    warehouse, catalog = custom
    rows: list[list[Any]] = [
        [n, moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)]
        for n, moment in enumerate(moments)
    ]
    command(warehouse, "TRUNCATE TABLE m")
    insert(warehouse, "m", ["id", "at"], rows)
    name = f"g{list(_INTERVALS).index(interval)}_{_ORIGINS.index(origin)}"
    query = Query(dimensions=("m.id",), time_dimensions=(TimeDimension("m.at", name),), timezone=zone)
    got = {int(row["m.id"]): row[f"m.at.{name}"] for row in ask(warehouse, catalog, query)}
    for number, moment in rows:
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert got[number] == _bucket(local, _INTERVALS[interval], datetime.fromisoformat(origin)), (
            local,
            interval,
            origin,
        )


def _bucket(local: datetime, step: Any, origin: datetime) -> str:
    """The last of origin + k · step that is not after the moment, found by walking."""
    length = (
        step.months * 30 + step.years * 365 + step.days + step.hours / 24 + step.minutes / 1440 + step.seconds / 86_400
    )
    k = int((local - origin) / timedelta(days=length))
    while origin + step * (k + 1) <= local:
        k += 1
    while origin + step * k > local:
        k -= 1
    return str((origin + step * k).isoformat(timespec="milliseconds"))


def test_school_years_and_weeks_that_begin_on_sunday(custom: tuple[Warehouse, Catalog]) -> None:
    warehouse, catalog = custom
    command(warehouse, "TRUNCATE TABLE m")
    rows = [
        [1, datetime(2024, 7, 31, 23, tzinfo=UTC)],
        [2, datetime(2024, 8, 1, tzinfo=UTC)],
        [3, datetime(2025, 1, 5, tzinfo=UTC)],
    ]
    insert(warehouse, "m", ["id", "at"], rows)
    times = (TimeDimension("m.at", "school_year"), TimeDimension("m.at", "sunday_week"))
    query = Query(dimensions=("m.id",), time_dimensions=times, order=(Order("m.id"),))
    found = [list(row.values())[1:] for row in ask(warehouse, catalog, query)]
    assert found == [
        ["2023-08-01T00:00:00.000", "2024-07-28T00:00:00.000"],
        ["2024-08-01T00:00:00.000", "2024-07-28T00:00:00.000"],
        ["2024-08-01T00:00:00.000", "2025-01-05T00:00:00.000"],
    ]


_OLD = [
    "1969-12-31 23:59:59.999999",
    "1969-07-20 20:17:40.123456",
    "1970-01-01 00:00:00.000001",
    "1901-01-01 05:30:00.5",
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Europe/Paris", "Africa/Monrovia"])
def test_microseconds_before_1970_are_cut_as_all_others_are(bare_warehouse: Warehouse, zone: str) -> None:
    command(bare_warehouse, "CREATE TABLE m (id Int64, at DateTime64(6, 'UTC')) ENGINE = Memory")
    rows = ", ".join(f"({number}, '{moment}')" for number, moment in enumerate(_OLD))
    command(bare_warehouse, f"INSERT INTO m VALUES {rows}")
    lines = _HEAD.replace(": t\n", ": m\n") + "      - {name: at, sql: at, type: time}\n"
    catalog = _typed(bare_warehouse, load_texts({"m.yml": lines}, strict=True))
    times = tuple(TimeDimension("m.at", grain) for grain in ("second", "hour", "day", "month"))
    query = Query(dimensions=("m.id", "m.at"), time_dimensions=times, order=(Order("m.id"),), timezone=zone)
    for row, moment in zip(ask(bare_warehouse, catalog, query), _OLD, strict=True):
        local = datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        second, hour = local.replace(microsecond=0), local.replace(minute=0, second=0, microsecond=0)
        starts = [local, second, hour, hour.replace(hour=0), hour.replace(hour=0, day=1)]
        assert list(row.values())[1:] == [each.isoformat(timespec="milliseconds") for each in starts]


@pytest.mark.parametrize("kind", ["DateTime", "DateTime64(0)", "DateTime64(3, 'Asia/Tokyo')"])
@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Monrovia"])
def test_the_hours_of_a_zone_hold_the_rows_of_the_clock_on_the_wall(
    bare_warehouse: Warehouse, kind: str, zone: str
) -> None:
    command(bare_warehouse, f"CREATE TABLE h (id Int64, at {kind}) ENGINE = MergeTree ORDER BY id")
    command(
        bare_warehouse,
        "INSERT INTO h SELECT number, toDateTime(60 + number * 600123, 'UTC') FROM numbers(3600) UNION ALL"
        " SELECT 9000 + number, toDateTime('2024-11-03 04:00:00', 'UTC') + number * 299 FROM numbers(80)",
    )
    model = _HEAD.replace(": t\n", ": h\n") + "      - {name: at, sql: at, type: time}\n"
    model += "    measures: [{name: count, type: count}, {name: middle, type: number, sql: median(id)}]\n"
    plain = load_texts({"h.yml": model}, strict=True)
    known = _typed(bare_warehouse, plain)
    for measures in (("h.count",), ("h.count", "h.middle")):
        query = Query(measures=measures, time_dimensions=(TimeDimension("h.at", "hour"),), timezone=zone)
        rows = ask(bare_warehouse, known, query)
        assert rows == ask(bare_warehouse, plain, query)
        assert sum(row["h.count"] for row in rows) == 3680
