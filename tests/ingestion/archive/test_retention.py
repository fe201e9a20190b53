"""What a school keeps no longer is nowhere; what others keep, and what is on hold, is everywhere as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import now
from core.errors import Unavailable
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive import retention
from ingestion.archive.erasure import erase, eraser
from ingestion.archive.manifest import files_of, find_files, office
from ingestion.archive.months import named, run
from ingestion.archive.restore import into_record
from ingestion.archive.store import Folder
from ingestion.archive.tiers import Tiers, months_before
from ingestion.batches import Blocking, Damaged
from ingestion.failpoints import armed
from ingestion.loader import Loader
from ingestion.partitions import month_of, next_month
from ingestion.term import Term, elect
from tests.ingestion.archive.world import both, facts, make_world, manifest_balances, months_ago

moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.integers(0, 300))
def test_months_are_counted_back_one_by_one(moment: datetime, months: int) -> None:
    month = months_before(moment, months)
    for _ in range(months):
        month = next_month(month)
    assert month == month_of(moment)


def test_the_tiers_of_the_design() -> None:
    tiers = Tiers.at(datetime(2026, 11, 26, tzinfo=UTC), Settings())
    assert (f"{tiers.hot:%Y-%m}", f"{tiers.warm:%Y-%m}") == ("2025-10", "2023-11")


def keep(connection: Blocking, warehouse: Warehouse, store: Folder) -> dict[str, int]:
    """All of retention, as housekeeping does it."""
    gone = retention.leave_record(connection, warehouse)
    retention.leave_warehouse(connection, warehouse)
    return gone | {"files": retention.leave_files(connection, warehouse, store)}


def of_school(rows: dict[str, dict[Any, str]], school: int) -> dict[str, list[str]]:
    """The rows of one school."""
    return {
        table: sorted(row for row in known.values() if f'"school_id": {school},' in row)
        for table, known in rows.items()
    }


async def test_a_school_that_keeps_six_months(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, loader, [20, 7, 6, 1])
    before, cubes = await both(postgres), await facts(warehouse)
    await postgres.fetch("insert into dead_letters (school_id, stage, reason, payload, received_at)"
                         " select id, 'accept', 'x', '{}', now() - interval '9 months' from schools")  # fmt: skip
    list(run(connection, warehouse, store, settings))
    await postgres.fetch("update schools set retention_months = 6 where id = 2")
    first = months_before(now(), 6)

    gone = keep(connection, warehouse, store)
    kept_answers = [row for row in cubes["responses"] if row[1] == 1 or row[-2] >= first.replace(tzinfo=row[-2].tzinfo)]
    assert gone["events"] == 40
    assert gone["dead_letters"] == 1
    assert gone["files"] > 40
    assert (await facts(warehouse))["responses"] == kept_answers
    await manifest_balances(postgres, warehouse)
    assert not any(keep(connection, warehouse, store).values())
    await loader.drain()
    await manifest_balances(postgres, warehouse)
    for table, moment in (("responses", "submitted_at"), ("events", "occurred_at")):
        query = f"select count(*) as n from {table} where school_id = 2 and {moment} < %s"
        assert await postgres.fetch(query, (first,)) == [{"n": 0}]
    assert all(file.sums.first_at and file.sums.first_at >= first for file in find_files(connection, "school_id = 2"))
    for month in named(connection, months_before(months_ago(20), 0).date()):
        into_record(connection, warehouse, store, month, now())
    assert of_school(await both(postgres), 1) == of_school(before, 1)


async def test_holds_keep_a_school_and_a_person(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    schools = await make_world(postgres, loader, [20, 7])
    before, cubes = await both(postgres), await facts(warehouse)
    ann, held = schools[1]["ann"], "insert into holds (school_id, user_id, reason) values (1, null, 'x'), (2, %s, 'x')"
    await postgres.fetch(
        "create table if not exists holds (school_id bigint, user_id bigint, reason text, released_at timestamptz)"
    )
    await postgres.fetch(held, (ann,))
    await postgres.fetch("update schools set retention_months = 1")
    list(run(connection, warehouse, store, settings))
    keep(connection, warehouse, store)
    for month in named(connection, months_before(months_ago(20), 0).date()):
        into_record(connection, warehouse, store, month, now())
    after = await both(postgres)
    assert of_school(after, 1) == of_school(before, 1)
    person = {"responses": f'"student_id": {ann},', "events": f'"user_id": {ann},'}
    assert of_school(after, 2) == {
        table: [row for row in rows if person[table] in row] for table, rows in of_school(before, 2).items()
    }
    assert len((await facts(warehouse))["events"]) == sum(1 for row in cubes["events"] if row[1] == 1 or row[2] == ann)
    await manifest_balances(postgres, warehouse)


async def test_rows_on_their_way_are_waited_for(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    await make_world(postgres, None, [7], rows=5)
    await postgres.fetch("update schools set retention_months = 1")

    def leave(term: Term) -> dict[str, int]:
        return retention.leave_record(term.connection, warehouse)

    tried: list[None] = []

    def away_once() -> None:
        tried.append(None)
        if len(tried) == 1:
            raise Unavailable

    with armed("prepared", away_once), pytest.raises(Unavailable):
        await loader.load()
    assert await loader.between(leave) == {"responses": 0, "events": 10, "quiz_results": 0, "dead_letters": 0}
    await loader.drain()
    assert await loader.between(leave) == {"responses": 10, "events": 0, "quiz_results": 0, "dead_letters": 0}
    retention.leave_warehouse(connection, warehouse)
    await manifest_balances(postgres, warehouse)


async def test_an_erased_person_is_in_no_file(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    schools = await make_world(postgres, loader, [20, 14])
    before = await both(postgres)
    list(run(connection, warehouse, store, settings))
    ann = schools[0]["ann"]
    person = {"responses": f'"student_id": {ann},', "events": f'"user_id": {ann},'}
    paths = set(store.paths())
    gone = erase(connection, warehouse, store, ann)
    assert gone == {table: sum(person[table] in row for row in rows.values()) for table, rows in before.items()}
    assert erase(connection, warehouse, store, ann) == {"responses": 0, "events": 0}
    assert erase(connection, warehouse, store, 999_999, 1) == {"responses": 0, "events": 0}
    assert {path.split("/")[2].split("-")[0] for path in paths - set(store.paths())} == {str(schools[0]["school"])}
    assert len(paths) == len(set(store.paths()))
    for age in (20, 14):
        for month in named(connection, months_before(months_ago(age), 0).date()):
            into_record(connection, warehouse, store, month, now())
    assert await both(postgres) == {
        table: {key: row for key, row in rows.items() if person[table] not in row} for table, rows in before.items()
    }


async def test_an_erasure_that_meets_a_damaged_file_says_so(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder, connection: Blocking
) -> None:
    schools = await make_world(postgres, loader, [14])
    list(run(connection, warehouse, store, settings))
    (month, _) = named(connection, months_before(months_ago(14), 0).date())
    (file, _) = files_of(connection, month)
    store.write(file.path, store.read(file.path)[:-1])
    with pytest.raises(Damaged, match=file.path):
        erase(connection, warehouse, store, schools[0]["ann"])


async def test_an_amendment_erases_by_the_same_way(
    postgres: Postgres, warehouse: Warehouse, loader: Loader, settings: Settings, store: Folder
) -> None:
    schools = await make_world(postgres, loader, [14])
    with office(postgres.url) as connection:
        list(run(connection, warehouse, store, settings))
    await loader.resign()
    term = elect(postgres.url, warehouse, 50)
    assert term is not None
    assert eraser(postgres.url, settings)(term, schools[0]["ann"], schools[0]["school"]) > 0
    assert (
        eraser(postgres.url, Settings(data_dir=settings.data_dir))(term, schools[0]["ann"], schools[0]["school"]) == 0
    )
    term.end()
