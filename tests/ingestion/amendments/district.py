"""A small district with everything that knows a person, the wish to erase one, and a search through every column."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from core.clock import now
from core.ids import derived_id, new_id
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.amendments.queue import Amendment, ask
from ingestion.loader import Loader
from ingestion.partitions import ensure_months
from tests.ingestion.rows import make_school, months

_RESPONSE = """
insert into responses (response_id, school_id, classroom_id, session_id, quiz_id, question_id, student_id,
                       attempt_number, choice, correct, score, time_spent_ms, submitted_at)
values (%(id)s, %(school)s, %(classroom)s, %(session)s, %(quiz)s, %(question)s, %(student)s, %(attempt)s, %(choice)s,
        %(correct)s, %(score)s, 1000, %(at)s)
"""
_EVENT = """
insert into events (event_id, school_id, user_id, event_name, occurred_at, props)
values (%(id)s, %(school)s, %(user)s, 'content_viewed', %(at)s, %(props)s)
"""
_SESSION = """
insert into quiz_sessions (school_id, classroom_id, quiz_id, mode, opened_at)
values (%(school)s, %(classroom)s, %(quiz)s, %(mode)s, %(at)s) returning id, opened_at
"""


async def add(postgres: Postgres, query: str, **values: Any) -> dict[str, Any]:
    """Run one statement; its first row."""
    return await postgres.fetch_one(query, values) or {}


async def open_sitting(postgres: Postgres, ids: dict[str, int], days: int = 0, mode: str = "live") -> dict[str, Any]:
    """A sitting of the school's quiz, so many days ago."""
    at = now() - timedelta(days=days)
    async with postgres.transaction() as connection:
        await ensure_months(connection, [at])
    return await add(postgres, _SESSION, **{k: ids[k] for k in ("school", "classroom", "quiz")}, mode=mode, at=at)


async def answer(
    postgres: Postgres, ids: dict[str, int], sitting: dict[str, Any], question: str, student: int, **told: Any
) -> None:
    """One answer in the record; `told`: choice, correct, score, attempt."""
    attempt = told.pop("attempt", 1)
    key = "\x1f".join(map(str, (sitting["id"], ids[question], student, attempt)))
    values = {"choice": "B", "correct": True, "score": 1.0, **told, "attempt": attempt, "student": student}
    place = {"school": ids["school"], "classroom": ids["classroom"], "quiz": ids["quiz"], "session": sitting["id"]}
    identifier = derived_id(sitting["opened_at"], key)
    await add(postgres, _RESPONSE, **values, **place, id=identifier, question=ids[question], at=sitting["opened_at"])


async def view(postgres: Postgres, ids: dict[str, int], user: int, days: int = 0, **props: Any) -> None:
    """One event of somebody."""
    at = now() - timedelta(days=days)
    async with postgres.transaction() as connection:
        await ensure_months(connection, [at])
    await add(postgres, _EVENT, id=derived_id(at, new_id()), school=ids["school"], user=user, at=at, props=Jsonb(props))


async def fill(postgres: Postgres, ids: dict[str, int], chance: random.Random, rows: int) -> None:
    """Random answers and events of both pupils over three months."""
    sittings = [await open_sitting(postgres, ids, days) for days in (0, 1, 33, 65)]
    given: set[tuple[int, str, int]] = set()
    for _ in range(rows):
        sitting, student = chance.choice(sittings), ids[chance.choice(["ann", "ben"])]
        question = chance.choice(["single", "several", "number"])
        if (sitting["id"], question, student) not in given:
            given.add((sitting["id"], question, student))
            await answer(postgres, ids, sitting, question, student)
        await view(postgres, ids, student, chance.choice([0, 1, 33]), number=chance.randrange(9))


async def make_district(postgres: Postgres) -> dict[str, int]:
    """Two schools; ann of the first has left a trace everywhere."""
    ids = await make_school(postgres)
    other = await make_school(postgres, "Valley")
    await months(postgres)
    ann, teacher, school = ids["ann"], ids["teacher"], ids["school"]
    for person, name in ((ann, "Ann Zwölfender"), (ids["ben"], "Ben Other")):
        mail = f"{name.split()[0].lower()}@person.example"
        await postgres.fetch(
            """update users set name = %s, email = %s, username = %s, external_id = %s, attrs = %s, language = 'de',
                      consent = true where id = %s""",
            [name, mail, f"user-{person}", f"ext-{name}", Jsonb({"nick": name}), person],
        )
        traces: tuple[tuple[str, list[Any] | None], ...] = (
            ("insert into login_sessions (id, user_id, token_hash, expires_at) values (uuidv7(), %s, 'x', now())", []),
            ("insert into service_tokens (id, user_id, name, scopes, expires_at) "
             "values (uuidv7(), %s, %s, '{query}', now())", [name]),
            ("insert into mail_tokens (id, user_id, purpose, email, token_hash, expires_at) "
             "values (uuidv7(), %s, 'verify_email', %s, gen_random_uuid()::text::bytea, now())", [mail]),
            ("insert into external_identities (issuer, subject, user_id) values (%s, 'a', %s)", None),
            ("insert into import_ids (source, entity, source_id, id) values ('sis', 'users', %s, %s)", None),
        )  # fmt: skip
        for query, more in traces:
            await postgres.fetch(query, [name, person] if more is None else [person, *more])
        await postgres.fetch(
            "insert into letters (id, kind, email, expires_at) values (uuidv7(), 'welcome', %s, now())", [mail]
        )
        await postgres.fetch(
            """insert into invitations (id, school_id, role, email, code_hash, expires_at, created_by)
               values (uuidv7(), %s, 'student', %s, gen_random_uuid()::text::bytea, now(), %s)""",
            [school, mail, teacher],
        )
        await postgres.fetch(
            "insert into dead_letters (school_id, stage, reason, payload) values (%s, 'accept', 'clock', %s)",
            [school, Jsonb({"user_id": person, "metadata": {"note": name}})],
        )
        sitting = await open_sitting(postgres, ids, 2, "imported")
        await postgres.fetch(
            """insert into quiz_results (school_id, classroom_id, session_id, quiz_id, student_id, score, max_score)
               values (%s, %s, %s, %s, %s, 3, 4)""",
            [school, ids["classroom"], sitting["id"], ids["quiz"], person],
        )
    await postgres.fetch("update quizzes set created_by = %s where id = %s", [teacher, ids["quiz"]])
    return ids | {"other": other["school"], "other_pupil": other["ann"]}


async def wish(postgres: Postgres, user: int, school: int | None, settle_seconds: int = 0) -> Amendment:
    """Ask for an erasure."""
    async with postgres.transaction() as connection:
        return await ask(connection, "erasure", user, school, (None, "operator"), settle_seconds=settle_seconds)


async def finished(postgres: Postgres, loader: Loader, amendment: int, passes: int = 200) -> dict[str, Any]:
    """Pass after pass until it is done; its row."""
    for _ in range(passes):
        await loader.load()
        row = await postgres.fetch_one("select * from amendments where id = %s", [amendment])
        assert row is not None
        if row["state"] in ("done", "failed"):
            return row
    raise AssertionError(f"not done: {row}")


async def tables_of(postgres: Postgres) -> list[str]:
    """Every table of the record (of a partitioned one the whole)."""
    found = await postgres.fetch(
        """select relname as name from pg_class where relnamespace = 'public'::regnamespace
           and relkind in ('r', 'p') and not relispartition order by 1"""
    )
    return [row["name"] for row in found]


async def texts(postgres: Postgres, warehouse: Warehouse) -> dict[str, list[str]]:
    """Every row of every table of both stores, as text; ClickHouse's with all versions of a row."""
    found = {}
    for table in await tables_of(postgres):
        rows = await postgres.fetch(f"select row_to_json(t)::text as text from {table} t")
        found[f"record.{table}"] = [row["text"] for row in rows]
    names = (await warehouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")).result_rows
    for (table,) in names:
        result = await warehouse.query(f"SELECT toJSONString(tuple(*)) FROM `{table}`")
        found[f"warehouse.{table}"] = [str(row[0]) for row in result.result_rows]
    return found


async def balance(postgres: Postgres, warehouse: Warehouse) -> None:
    """The audit: what the manifest says of each batch is what ClickHouse holds."""
    for table, key in (("responses", "response_id"), ("events", "event_id")):
        told = await postgres.fetch(
            "select id, rows, fingerprint from batches where pipeline = %s and state = 'committed' and rows > 0",
            [table],
        )
        query = f"""SELECT batch, count(), groupBitXor(reinterpretAsUInt64(reverse(substring(UUIDToNum({key}), 9, 8))))
                    FROM {table} GROUP BY batch"""
        held = {row[0]: (row[1], row[2]) for row in (await warehouse.query(query)).result_rows}
        assert {row["id"]: (row["rows"], int(row["fingerprint"])) for row in told} == held, table


def with_batches(settings: Settings, rows: int) -> Settings:
    """The same settings with other batches."""
    return settings.model_copy(update={"batch_rows": rows})
