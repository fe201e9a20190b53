"""A school's accounts by the list."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.auth.bulk.schemas import MOST
from core.postgres import Postgres
from tests.api.accounts.conftest import address, mail, secret
from tests.api.conftest import PASSWORD, Person, data, fault, login, member, register

BULK = "/api/v1/users/bulk"


async def _bring(admin: Person, rows: Any, status: int = 200, **place: Any) -> dict[str, Any]:
    found: dict[str, Any] = data(await admin.post(BULK, rows, params=place), status)
    return found


async def test_each_row_has_an_outcome_of_its_own_and_the_list_again_changes_nothing(
    admin: Person, client: httpx2.AsyncClient, folder: Path
) -> None:
    room, mary = await admin.make("classrooms", name="4b"), address("mary")
    elsewhere = await register(client, "admin", school_name="Valley")
    rows = [
        {"name": "Zoë Ørsted", "external_id": "S-1", "classroom_id": room["id"]},
        {"name": "Mary", "role": "teacher", "email": mary.upper(), "classroom_id": room["id"]},
        {"name": "Eve\u202e", "external_id": "S-3"},
        {"name": "No room", "external_id": "S-4", "classroom_id": 10**9},
        {"name": "Taken", "email": elsewhere.email},
        {"name": "Zoë again", "external_id": "S-1"},
        {"name": "Wrong role", "external_id": "S-1", "role": "teacher"},
        {"name": "Operator", "role": "operator"},
        "no row",
    ]
    first = await _bring(admin, rows)
    outcomes = [(item["status"], item["code"]) for item in first["items"]]
    assert outcomes == [
        ("created", None),
        ("created", None),
        ("refused", "invalid_field"),
        ("refused", "no_such_classroom"),
        ("refused", "email_taken"),
        ("exists", None),
        ("refused", "role_differs"),
        ("refused", "invalid_field"),
        ("refused", "invalid_field"),
    ]
    assert (first["created"], first["existing"], first["refused"]) == (2, 1, 6)
    pupil, teacher = first["items"][:2]
    assert pupil["login"].startswith("zoe-")
    assert pupil["one_time_password"] and pupil["enrolled"] and not pupil["mailed"]
    assert teacher["login"] == mary
    assert teacher["mailed"] and teacher["one_time_password"] is None
    again = await _bring(admin, rows)
    assert (again["created"], again["existing"]) == (0, 3)
    assert [item["user_id"] for item in again["items"]][:2] == [pupil["user_id"], teacher["user_id"]]
    assert not any(item["one_time_password"] or item["mailed"] or item["enrolled"] for item in again["items"])
    members = data(await admin.get("/api/v1/enrolments", params={"classroom_id": room["id"]}))["items"]
    assert {item["user_id"] for item in members} == {pupil["user_id"], teacher["user_id"]}
    token = secret(await mail(folder, mary))
    data(await client.post("/auth/password/reset", json={"token": token, "password": PASSWORD}))
    assert (await login(client, mary)).id == teacher["user_id"]


async def test_a_one_time_password_must_be_changed_at_the_first_log_in(
    admin: Person, client: httpx2.AsyncClient, record: Postgres
) -> None:
    pupil = (await _bring(admin, [{"name": "Ada"}]))["items"][0]
    wish = {"email": pupil["login"].upper(), "password": pupil["one_time_password"]}
    fault(await client.post("/auth/login", json=wish), 403, "password_change_required")
    for bad in ("password123", wish["password"], "aaaaaaaa"):
        fault(await client.post("/auth/login", json=wish | {"new_password": bad}), 422, "weak_password")
    wrong = wish | {"password": "2222-2222-2222", "new_password": PASSWORD}
    fault(await client.post("/auth/login", json=wrong), 401, "bad_credentials")
    data(await client.post("/auth/login", json=wish | {"new_password": PASSWORD}))
    fault(await client.post("/auth/login", json=wish), 401, "bad_credentials")
    assert (await login(client, pupil["login"])).id == pupil["user_id"]
    row = await record.fetch_one("select password_hash from users where id = %s", [pupil["user_id"]])
    assert row and row["password_hash"].startswith("$argon2id$v=19$m=47104")


async def test_a_one_time_password_ends(admin: Person, client: httpx2.AsyncClient, record: Postgres) -> None:
    pupil = (await _bring(admin, [{"name": "Ada"}]))["items"][0]
    await record.fetch("update users set one_time_until = now() where id = %s", [pupil["user_id"]])
    wish = {"email": pupil["login"], "password": pupil["one_time_password"], "new_password": PASSWORD}
    fault(await client.post("/auth/login", json=wish), 403, "password_expired")


@pytest.mark.parametrize(("delimiter", "start"), [(",", ""), (";", "\ufeff")])
async def test_a_table_from_a_spreadsheet(admin: Person, delimiter: str, start: str) -> None:
    room = await admin.make("classrooms", name="4b")
    header = delimiter.join(("name", "role", "external_id", "classroom_id"))
    lines = [f'"Ørsted{delimiter} Zoë"', "student", f"C{delimiter == ','}", str(room["id"])]
    text = f"{start}{header}\r\n{delimiter.join(lines)}\r\nBob{delimiter}{delimiter}{delimiter}\r\n"
    answer = await admin.call("POST", BULK, content=text.encode(), headers={"Content-Type": "text/csv; charset=utf-8"})
    assert [(item["status"], item["enrolled"]) for item in data(answer)["items"]] == [
        ("created", True),
        ("created", False),
    ]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[", "application/json", 400),
        (b"name,phone\nA,1\n", "text/csv", 422),
        (b"name,name\nA,1\n", "text/csv", 422),
        (b"name\n\xff\n", "text/csv", 400),
        (b'name\n"A\n', "text/csv", 400),
        (b"name\n", "text/csv", 422),
        (b"", "text/csv", 422),
        (b"name\nA\n", "text/plain", 422),
        (b"name\n" + b"A\n" * (MOST + 1), "text/csv", 413),
    ],
)
async def test_a_body_that_is_no_list_is_refused(admin: Person, content: bytes, kind: str, status: int) -> None:
    fault(await admin.call("POST", BULK, content=content, headers={"Content-Type": kind}), status)


async def test_signs_that_no_database_takes_refuse_one_row(admin: Person) -> None:
    text = b"name,external_id,email\nA\x00,,\nB,x\x00y,\nC,,c\x00@example.org\nD,1,2,3,4\nE,,\n"
    answer = data(await admin.call("POST", BULK, content=text, headers={"Content-Type": "text/csv"}))
    assert [item["status"] for item in answer["items"]] == ["refused"] * 4 + ["created"]


async def test_two_lists_at_once_make_nobody_twice(admin: Person, record: Postgres) -> None:
    rows = [{"name": f"P{n}", "external_id": f"race-{n}"} for n in range(30)]
    found = await asyncio.gather(*(_bring(admin, rows) for _ in range(4)))
    assert sum(each["created"] for each in found) == 30
    row = await record.fetch_one("select count(*) as n from users where external_id like 'race-%'")
    assert row == {"n": 30}


async def test_a_list_is_for_admins_of_that_school(admin: Person, client: httpx2.AsyncClient) -> None:
    stranger = await register(client, "admin", school_name="Valley")
    theirs = await stranger.make("classrooms", name="theirs")
    fault(await admin.post(BULK, [{"name": "A"}], params={"school_id": stranger.school_id}), 404)
    answer = await _bring(admin, [{"name": "A", "classroom_id": theirs["id"]}])
    assert answer["items"][0]["code"] == "no_such_classroom"
    for role in ("teacher", "student"):
        fault(await (await member(admin, role)).post(BULK, [{"name": "A"}]), 403)


async def test_a_whole_school_at_once(admin: Person) -> None:
    found = await _bring(admin, [{"name": f"Pupil {n}", "external_id": f"many-{n}"} for n in range(MOST)])
    assert found["created"] == MOST
    assert len({item["login"] for item in found["items"]}) == MOST
