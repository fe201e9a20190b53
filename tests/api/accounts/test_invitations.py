"""Join codes and invitations: who makes them, who may use them, how often."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.postgres import Postgres
from tests.api.accounts.conftest import address, join_code, mail, secret
from tests.api.conftest import PASSWORD, Person, data, fault, login, member

INVITATIONS = "/api/v1/invitations"


@pytest.fixture(scope="module")
def chosen() -> dict[str, Any]:
    """Closed, as an installation is; a school is founded in the record."""
    return {"open_registration": False}


@pytest.fixture(scope="module")
async def admin(client: httpx2.AsyncClient, record: Postgres) -> Person:
    """The admin of a school, made as an operator makes him."""
    return await _founded(client, record)


async def _founded(client: httpx2.AsyncClient, record: Postgres) -> Person:
    operator = _operator(client)
    school = await operator.make("schools", name="Hilltop")
    email = address("head")
    await operator.make("users", name="Head", role="admin", email=email, password=PASSWORD, school_id=school["id"])
    return await login(client, email)


def _operator(client: httpx2.AsyncClient) -> Person:
    from datetime import timedelta

    from api.auth.tokens import Tokens
    from api.principal import Principal
    from tests.api.conftest import SECRET

    token = Tokens(SECRET, timedelta(hours=1)).issue(Principal(role="operator", subject="test"))
    return Person(client, 0, 0, "", {"access_token": token})


def _body(code: str, **values: Any) -> dict[str, Any]:
    return {"name": "Ada Example", "email": address(), "password": PASSWORD, "code": code, **values}


async def _register(client: httpx2.AsyncClient, body: dict[str, Any]) -> httpx2.Response:
    return await client.post("/auth/register", json=body)


async def test_without_a_code_registration_is_closed(client: httpx2.AsyncClient, admin: Person) -> None:
    body = {"name": "A", "email": address(), "password": PASSWORD}
    for place in ({"school_id": admin.school_id}, {"school_name": "S", "role": "admin"}):
        fault(await _register(client, body | place), 403, "registration_closed")


async def test_a_join_code_says_where_and_as_what(client: httpx2.AsyncClient, admin: Person) -> None:
    room = await admin.make("classrooms", name="4b")
    code = await join_code(admin, role="student", classroom_id=room["id"])
    typed = f" {code[:4].lower()} - {code[4:]}"
    user = data(await _register(client, _body(typed)), 201)
    assert (user["school_id"], user["role"]) == (admin.school_id, "student")
    assert await _enrolled(admin, room["id"]) == [user["id"]]
    for extra in ({"role": "admin"}, {"school_id": 1}, {"school_name": "Mine"}):
        fault(await _register(client, _body(code) | extra), 422)
    shown = data(await admin.get(INVITATIONS))["items"][0]
    assert (shown["uses"], shown["max_uses"]) == (1, 40)
    assert "code" not in shown


async def _enrolled(admin: Person, classroom_id: int) -> list[int]:
    found = data(await admin.get("/api/v1/enrolments", params={"classroom_id": classroom_id}))
    return [item["user_id"] for item in found["items"]]


async def test_a_code_is_never_used_too_often_and_one_address_has_one_account(
    client: httpx2.AsyncClient, admin: Person, record: Postgres
) -> None:
    code = await join_code(admin, max_uses=3)
    answers = await asyncio.gather(*(_register(client, _body(code)) for _ in range(7)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 4
    code, email = await join_code(admin, max_uses=30), address()
    answers = await asyncio.gather(*(_register(client, _body(code, email=email)) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4
    row = await record.fetch_one("select max(uses) filter (where max_uses = 30) as n, max(uses) as m from invitations")
    assert row == {"n": 1, "m": 3}


async def test_only_a_good_code_tells_that_an_address_is_taken(client: httpx2.AsyncClient, admin: Person) -> None:
    taken = _body("WRNGCDE2", email=admin.email)
    free = _body("WRNGCDE2")
    assert fault(await _register(client, taken), 403, "bad_code") == fault(await _register(client, free), 403)
    fault(await _register(client, _body(await join_code(admin), email=admin.email)), 409, "email_taken")


@pytest.mark.parametrize("end", ["revoked", "expired", "maker gone", "maker moved"])
async def test_a_code_that_ended_is_not_good(
    client: httpx2.AsyncClient, admin: Person, record: Postgres, end: str
) -> None:
    second = await admin.make("users", name="Deputy", role="admin", email=address(), password=PASSWORD)
    deputy = await login(client, second["email"])
    made = data(await deputy.post(INVITATIONS, {}), 201)
    if end == "revoked":
        for _ in range(2):
            assert data(await admin.call("DELETE", f"{INVITATIONS}/{made['id']}"))["revoked_at"]
    elif end == "expired":
        await record.fetch("update invitations set expires_at = now() where id = %s", [made["id"]])
    elif end == "maker gone":
        await record.fetch("update users set disabled_at = now() where id = %s", [deputy.id])
    else:
        data(await admin.call("PATCH", f"/api/v1/users/{deputy.id}", json={"role": "student"}))
    fault(await _register(client, _body(made["code"])), 403, "bad_code")


async def test_a_teacher_invites_students_into_his_classrooms_while_they_are_his(
    client: httpx2.AsyncClient, admin: Person
) -> None:
    teacher, other = await member(admin, "teacher"), await member(admin, "teacher")
    room = await admin.make("classrooms", name="A", teacher_id=teacher.id)
    foreign = await admin.make("classrooms", name="B", teacher_id=other.id)
    for wish in ({}, {"role": "teacher", "classroom_id": room["id"]}, {"role": "admin", "email": address()}):
        fault(await teacher.post(INVITATIONS, wish), 403)
    fault(await teacher.post(INVITATIONS, {"classroom_id": foreign["id"]}), 404)
    code = await join_code(teacher, classroom_id=room["id"])
    assert [item["classroom_id"] for item in data(await teacher.get(INVITATIONS))["items"]] == [room["id"]]
    assert data(await other.get(INVITATIONS))["items"] == []
    data(await _register(client, _body(code)), 201)
    data(await admin.call("PATCH", f"/api/v1/classrooms/{room['id']}", json={"teacher_id": other.id}))
    fault(await _register(client, _body(code)), 403, "bad_code")
    student = await member(admin, "student")
    fault(await student.post(INVITATIONS, {"classroom_id": room["id"]}), 403)


async def test_another_school_is_out_of_reach(client: httpx2.AsyncClient, admin: Person, record: Postgres) -> None:
    stranger = await _founded(client, record)
    room = await stranger.make("classrooms", name="theirs")
    fault(await admin.post(INVITATIONS, {"classroom_id": room["id"]}), 404)
    fault(await admin.post(INVITATIONS, {"school_id": stranger.school_id}), 404)
    made = data(await stranger.post(INVITATIONS, {}), 201)
    fault(await admin.call("DELETE", f"{INVITATIONS}/{made['id']}"), 404)
    assert made["id"] not in {item["id"] for item in data(await admin.get(INVITATIONS))["items"]}
    assert data(await stranger.get(INVITATIONS))["total"] == 1


async def test_an_invitation_by_mail_is_for_that_address_once_and_proves_it(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres
) -> None:
    email = address("mary")
    made = data(await admin.post(INVITATIONS, {"role": "teacher", "email": email.upper(), "language": "de"}), 201)
    assert (made["code"], made["max_uses"]) == (None, 1)
    message = await mail(folder, email)
    assert "Hilltop lädt Sie" in message.get_content()
    code = secret(message)
    fault(await _register(client, _body(code)), 403, "bad_code")
    user = data(await _register(client, _body(code, email=email)), 201)
    assert user["role"] == "teacher"
    row = await record.fetch_one("select email_verified_at is not null as sure from users where id = %s", [user["id"]])
    assert row == {"sure": True}
    fault(await _register(client, _body(code, email=email)), 403, "bad_code")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"role": "admin"}, "email"),
        ({"role": "operator"}, "role"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 1001}, "max_uses"),
        ({"days": 91}, "days"),
        ({"email": "x@example.org", "max_uses": 2}, "max_uses"),
        ({"email": "nobody"}, "email"),
        ({"language": "fr"}, "language"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_bad_wish_is_told_where_it_is_bad(admin: Person, wish: dict[str, Any], field: str) -> None:
    answer = fault(await admin.post(INVITATIONS, wish), 422)
    assert answer["error"]["details"]["errors"][0]["field"] == field
