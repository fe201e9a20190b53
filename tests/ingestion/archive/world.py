"""Two schools with old answers and events of every shape, in the record and in ClickHouse; and all of it as a value."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from core.clock import now
from core.ids import derived_id
from core.postgres import Postgres, connect
from core.warehouse import Warehouse
from ingestion.archive.layout import id_fingerprint
from ingestion.archive.tiers import months_before
from ingestion.loader import Loader
from ingestion.partitions import ensure_months_blocking
from tests.ingestion.rows import make_school

_TEXTS = (None, "", "\\N", "a\tb\nc\rd\\e'f\"g", "ätsch 🦆 \u2028 \x02\x1f", "NULL", "x" * 4000, "\b\f\x7f")
_PROPS: tuple[Any, ...] = (
    {}, {"a": [1, 2.5, None, {"b": "ü\n\t\\"}]}, {"n": 12345678901234567890, "e": 1e-7, "t": True}, {"": "\U0001f986"},
)  # fmt: skip
_SCORES = (None, 0.0, 1.0, 0.1, 1 / 3, 2 / 3, 5e-324, 0.30000000000000004, 0.9999999999999999)


def months_ago(months: int) -> datetime:
    """The middle of a month that lies so many months back."""
    return months_before(now(), months) + timedelta(days=14, microseconds=123_457)


async def make_world(
    postgres: Postgres, loader: Loader | None, ages: list[int], rows: int = 40
) -> list[dict[str, int]]:
    """Two schools with so many rows of each table in each of the months, loaded by the loader; the schools' ids."""
    schools = [await make_school(postgres, name) for name in ("Hill School", "Dale School")]
    with connect(postgres.url) as connection:
        for age in ages:
            for number, school in enumerate(schools):
                add_rows(connection, school, months_ago(age), rows, seed=age * 2 + number)
    if loader:
        await loader.drain()
    return schools


def add_rows(
    connection: psycopg.Connection[Any], school: dict[str, int], moment: datetime, rows: int, seed: int = 0
) -> None:
    """Answers and events around a moment, with the values that are lost most easily."""
    dice = random.Random(seed)
    ensure_months_blocking(connection, [moment])
    session = connection.execute(
        "insert into quiz_sessions (school_id, classroom_id, quiz_id, mode, opened_at, ended_at) "
        "values (%(school)s, %(classroom)s, %(quiz)s, 'imported', %(at)s, %(at)s) returning id",
        {**school, "at": moment},
    ).fetchall()[0]["id"]
    for number in range(rows):
        student = school[dice.choice(("ann", "ben"))]
        question = school[dice.choice(("single", "several", "number", "essay"))]
        later = moment + timedelta(microseconds=dice.randrange(40 * 86_400_000_000))
        event = moment + timedelta(microseconds=dice.randrange(10 * 86_400_000_000))
        connection.execute(
            "insert into responses (response_id, school_id, classroom_id, session_id, quiz_id, question_id, student_id,"
            " attempt_number, choice, correct, score, time_spent_ms, submitted_at, client_id)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                derived_id(moment, session, question, student, number), school["school"],
                dice.choice((None, school["classroom"])), session, school["quiz"], question, student, number + 1,
                dice.choice(_TEXTS), dice.choice((None, True, False)), dice.choice(_SCORES),
                dice.choice((None, 0, 86_400_000)), later, dice.choice((None, f"c{number}")),
            ),
        )  # fmt: skip
        connection.execute(
            "insert into events (event_id, school_id, user_id, classroom_id, quiz_id, event_name, app, occurred_at,"
            " client_id, props) values (%s, %s, %s, %s, %s, 'content_viewed', %s, %s, %s, %s)",
            (
                derived_id(event, session, number), school["school"], dice.choice((None, student)),
                dice.choice((None, school["classroom"])), dice.choice((None, school["quiz"])),
                dice.choice((None, "notebook")), event, dice.choice((None, f"é{number}")), Jsonb(dice.choice(_PROPS)),
            ),
        )  # fmt: skip
    connection.commit()


async def record(postgres: Postgres, table: str) -> dict[Any, str]:
    """Every row of a table of the record as text, every digit of it, by its key."""
    key = {"responses": "response_id", "events": "event_id"}[table]
    rows = await postgres.fetch(f"select {key} as key, to_jsonb(t)::text as row from {table} t")
    return {row["key"]: row["row"] for row in rows}


async def both(postgres: Postgres) -> dict[str, dict[Any, str]]:
    """The record's answers and events."""
    return {table: await record(postgres, table) for table in ("responses", "events")}


async def facts(warehouse: Warehouse, *, batches: bool = False) -> dict[str, Sequence[Any]]:
    """What ClickHouse holds, in order; without the batch, for a restored row has none."""
    left_out = "" if batches else " EXCEPT batch"
    return {
        table: (await warehouse.query(f"SELECT *{left_out} FROM {table} ORDER BY ALL")).result_rows
        for table in ("responses", "events")
    }


def utc(year: int, month: int, day: int = 1) -> datetime:
    """A day."""
    return datetime(year, month, day, tzinfo=UTC)


async def manifest_balances(postgres: Postgres, warehouse: Warehouse) -> None:
    """Each batch holds in ClickHouse what the manifest says of it."""
    for table, key in (("responses", "response_id"), ("events", "event_id")):
        rows = await postgres.fetch(
            "select id, rows, fingerprint::text from batches where pipeline = %s and state = 'committed' and rows > 0",
            (table,),
        )
        query = f"SELECT batch, count(), toString({id_fingerprint(key)}) FROM {table} WHERE batch > 0 GROUP BY 1"
        found = {tuple(row) for row in (await warehouse.query(query)).result_rows}
        assert found == {(row["id"], row["rows"], row["fingerprint"]) for row in rows}
