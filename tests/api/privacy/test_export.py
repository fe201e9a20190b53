"""Everything about a person, and nothing about another; complete by the schema."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any
from zipfile import ZipFile

import httpx2
from fastapi import FastAPI

from api.privacy.archive import make_archive
from api.privacy.people import LEFT_OUT, PARTS
from core.postgres import Postgres
from tests.api.audit.people import Small, lines, make_small
from tests.api.conftest import data, fault
from tests.ingestion.rows import make_school, months

# Every column that may hold a person's number or address: it refers to users, or is called as such columns are here.
_POINTERS = """
select distinct r.relname || '.' || a.attname as name
from pg_constraint c join pg_class r on r.oid = c.conrelid
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
where c.contype = 'f' and c.confrelid = 'users'::regclass and a.attname <> 'school_id' and not r.relispartition
union
select r.relname || '.' || a.attname from pg_class r join pg_attribute a on a.attrelid = r.oid
where r.relnamespace = 'public'::regnamespace and r.relkind in ('r', 'p') and not r.relispartition and a.attnum > 0
  and (a.attname = any(array['user_id', 'student_id', 'teacher_id', 'actor_id', 'created_by', 'granted_by', 'subjects',
                         'email'])
       or a.attname in ('subject', 'key') and r.relname in ('revocations', 'row_changes'))
union select 'users.id'
"""


async def export(caller: Any, user_id: int) -> ZipFile:
    answer = await caller.post(f"/api/v1/users/{user_id}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    return ZipFile(io.BytesIO(answer.content))


def part(archive: ZipFile, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(archive.read(f"{name}.json"))
    return rows


async def test_every_column_that_points_to_a_person_is_exported_or_left_out_with_a_reason(postgres: Postgres) -> None:
    found = {row["name"] for row in await postgres.fetch(_POINTERS)}
    covered = {column for each in PARTS for column in each.covers}
    assert found - covered - set(LEFT_OUT) == set()
    assert {"users.id", "responses.student_id", "audit_log.subjects", "login_sessions.user_id"} <= found
    assert covered - found == set()


async def test_it_holds_what_there_is_of_him_and_of_nobody_else(
    small: Small, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    ann, ben, ids = small.ann, small.ben, small.ids
    for person, choice in ((ann, "B"), (ben, "ben's own words")):
        answer = {"question_id": ids["essay"], "quiz_id": ids["quiz"], "answer": choice}
        data(await person.post("/api/v1/responses", answer), 201)
    view = {"event_name": "content_viewed", "app": "notebook", "metadata": {"content_id": "=1+1"}}
    data(await ann.post("/api/v1/events", view), 202)
    await small.teacher.post("/api/v1/events", {"event_name": "no_such_event", "user_id": ann.id})
    await small.teacher.post("/api/v1/events", {"event_name": "no_such_event", "user_id": ben.id})
    data(await small.teacher.get(f"/api/v1/users/{ann.id}"))

    archive = await export(small.admin, ann.id)
    assert sorted(archive.namelist()) == sorted(
        ["README.txt", *(f"{each.name}.{kind}" for each in PARTS for kind in ("json", "csv"))]
    )
    assert part(archive, "account")[0]["name"] == "ann"
    assert [row["choice"] for row in part(archive, "responses")] == ["B"]
    assert "content_viewed" in {row["event_name"] for row in part(archive, "events")}
    assert [row["payload"]["user_id"] for row in part(archive, "refused")] == [ann.id]
    assert part(archive, "enrolments")[0]["classroom"] == "7b"
    assert part(archive, "consent")[0]["consent_basis"] == "school_contract"
    assert {(row["action"], row["actor_id"]) for row in part(archive, "audit")} >= {
        ("user.read", small.teacher.id),
        ("user.exported", small.admin.id),
    }
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"own words" not in everything
    assert b'"ben"' not in everything
    assert b"Deutsch" in everything


async def test_the_csv_is_safe_and_says_the_same(small: Small) -> None:
    answer = {"question_id": small.ids["essay"], "quiz_id": small.ids["quiz"], "answer": '=cmd|"x"\nsecond line'}
    data(await small.ann.post("/api/v1/responses", answer), 201)
    archive = await export(small.ann, small.ann.id)
    for each in PARTS:
        text = archive.read(f"{each.name}.csv").decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        told = part(archive, each.name)
        assert len(rows) == len(told), each.name
        if told:
            assert list(rows[0]) == list(told[0]), each.name
    (row,) = csv.DictReader(io.StringIO(archive.read("responses.csv").decode("utf-8-sig"), newline=""))
    assert row["choice"].startswith("'=cmd")


async def test_no_secret_is_in_it(small: Small, postgres: Postgres) -> None:
    await postgres.fetch("update users set password_hash = 'argon2-secret' where id = %s", [small.ann.id])
    await postgres.fetch(
        "insert into login_sessions (id, user_id, token_hash, expires_at) values (uuidv7(), %s, 'tok-secret', now())",
        [small.ann.id],
    )
    archive = await export(small.operator, small.ann.id)
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"secret" not in everything.replace(b"without their secrets", b"")
    assert len(part(archive, "log_ins")) == 1


async def test_who_may_export_whom(
    small: Small, client: httpx2.AsyncClient, postgres: Postgres, application: FastAPI
) -> None:
    other = await make_small(client, postgres, "Valley")
    table = [(small.admin, 200), (small.operator, 200), (small.ann, 200), (small.teacher, 403), (small.ben, 404)]
    for caller, status in [*table, (other.admin, 404), (other.teacher, 404)]:
        answer = await caller.post(f"/api/v1/users/{small.ann.id}/export")
        assert answer.status_code == status, answer.text
    services = application.state.services
    services.settings = services.settings.model_copy(update={"self_export": False})
    fault(await small.ann.post(f"/api/v1/users/{small.ann.id}/export"), 403)
    assert [line["outcome"] for line in await lines(small.operator, actor_id=small.ann.id, action="user.exported")] == [
        "refused",
        "done",
    ]


async def test_a_large_export_takes_little_memory(postgres: Postgres, postgres_url: str) -> None:
    ids = await make_school(postgres)
    await months(postgres)
    await postgres.fetch(
        """insert into events (event_id, school_id, user_id, event_name, occurred_at, props)
           select overlay(gen_random_uuid()::text placing left(uuidv7()::text, 15) from 1 for 15)::uuid, %s, %s,
                  'content_viewed', now(), jsonb_build_object('text', repeat(md5(n::text), 20))
           from generate_series(1, 30000) n""",
        [ids["school"], ids["ann"]],
    )
    tracemalloc.start()
    with make_archive(postgres_url, ids["ann"]) as file, ZipFile(file) as archive:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(part(archive, "events")) == 30_000
    assert peak < 20_000_000
