"""Registration and log-in."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from core.postgres import Postgres
from tests.api.conftest import PASSWORD, data, fault, login, register


async def test_whoever_founds_a_school_is_its_admin(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="Hilltop", time_zone="Europe/Berlin")
    school = data(await admin.get(f"/api/v1/schools/{admin.school_id}"))
    assert (school["name"], school["time_zone"]) == ("Hilltop", "Europe/Berlin")


async def test_a_stranger_cannot_become_admin_of_a_school(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="Hilltop")
    body = {"name": "X", "email": "x@example.org", "password": PASSWORD, "role": "admin", "school_id": admin.school_id}
    fault(await client.post("/auth/register", json=body), 403, "admin_by_invitation")


async def test_a_self_made_teacher_sees_nothing_until_he_is_given_a_class(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="Hilltop")
    student = await register(client, "student", school_id=admin.school_id)
    room = await admin.make("classrooms", name="A")
    await admin.make("enrolments", classroom_id=room["id"], user_id=student.id)
    teacher = await register(client, "teacher", school_id=admin.school_id)
    assert data(await teacher.get("/api/v1/classrooms"))["items"] == []
    assert [user["id"] for user in data(await teacher.get("/api/v1/users"))["items"]] == [teacher.id]
    fault(await teacher.get(f"/api/v1/users/{student.id}"), 404)
    data(await admin.call("PATCH", f"/api/v1/classrooms/{room['id']}", json={"teacher_id": teacher.id}))
    assert [item["id"] for item in data(await teacher.get("/api/v1/classrooms"))["items"]] == [room["id"]]
    assert data(await teacher.get(f"/api/v1/users/{student.id}"))["id"] == student.id


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"email": "no address"}, 422, "email"),
        ({"password": "short"}, 422, "password"),
        ({"name": " "}, 422, "name"),
        ({"role": "operator"}, 422, "role"),
        ({"school_name": None}, 422, "school_id"),
        ({"school_id": 1}, 422, "school_id"),
        ({"role": "teacher"}, 422, "role"),
        ({"time_zone": "Mars/Base"}, 422, "time_zone"),
        ({"is_admin": True}, 422, "is_admin"),
        ({"school_name": None, "school_id": 999, "role": "student"}, 404, None),
        ({"school_name": None, "school_id": 2**63, "role": "student"}, 422, "school_id"),
    ],
)
async def test_a_bad_registration_is_told_where_it_is_bad(
    client: httpx2.AsyncClient, change: dict[str, Any], status: int, field: str | None
) -> None:
    body = {"name": "A", "email": "a@example.org", "password": PASSWORD, "role": "admin", "school_name": "S"}
    answer = fault(await client.post("/auth/register", json=body | change), status)
    if field:
        assert answer["error"]["details"]["errors"][0]["field"] == field


async def test_an_address_is_taken_in_any_case(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    body = {"name": "B", "email": admin.email.upper(), "password": PASSWORD, "role": "student"}
    fault(await client.post("/auth/register", json=body | {"school_id": admin.school_id}), 409, "email_taken")


async def test_a_wrong_password_and_an_unknown_address_look_the_same(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    wrong = await client.post("/auth/login", json={"email": admin.email, "password": "something else"})
    unknown = await client.post("/auth/login", json={"email": "nobody@example.org", "password": PASSWORD})
    assert fault(wrong, 401, "bad_credentials") == fault(unknown, 401, "bad_credentials")


async def test_passwords_are_kept_as_argon2id(client: httpx2.AsyncClient, postgres: Postgres) -> None:
    await register(client, "admin", school_name="S")
    row = await postgres.fetch_one("select password_hash from users")
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$v=19$m=47104,t=1,p=1$")


async def test_both_prefixes_lead_to_the_same_log_in(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    for prefix in ("", "/api/v1"):
        pair = data(await client.post(f"{prefix}/auth/login", json={"email": admin.email, "password": PASSWORD}))
        assert pair["expires_in"] == 300
        data(await client.post(f"{prefix}/auth/refresh", json={"refresh_token": pair["refresh_token"]}))


async def test_a_new_password_ends_every_other_log_in(client: httpx2.AsyncClient) -> None:
    person = await register(client, "admin", school_name="S")
    other = await login(client, person.email)
    change = {"current_password": PASSWORD, "new_password": "another good password"}
    data(await person.post("/auth/password", change))
    data(await person.get("/api/v1/users/me"))
    fault(await other.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/auth/login", json={"email": person.email, "password": PASSWORD}), 401)


async def test_a_token_needs_no_scheme_before_it(client: httpx2.AsyncClient) -> None:
    person = await register(client, "admin", school_name="S")
    for text in ("{}", "Bearer {}", "bearer {}"):
        header = text.format(person.tokens["access_token"])
        data(await client.get("/api/v1/users/me", headers={"Authorization": header}))


async def test_registration_can_be_closed(application: FastAPI, client: httpx2.AsyncClient) -> None:
    services = application.state.services
    services.ingestion.accounts.settings = services.settings.model_copy(update={"open_registration": False})
    body = {"name": "A", "email": "a@example.org", "password": PASSWORD, "role": "admin", "school_name": "S"}
    fault(await client.post("/auth/register", json=body), 403, "registration_closed")


async def test_a_role_that_was_taken_away_is_gone_at_once(client: httpx2.AsyncClient) -> None:
    admin = await register(client, "admin", school_name="S")
    second = await admin.make("users", name="Deputy", role="admin", email="deputy@example.org", password=PASSWORD)
    deputy = await login(client, "deputy@example.org")
    data(await deputy.get("/api/v1/users"))
    data(await admin.call("PATCH", f"/api/v1/users/{second['id']}", json={"role": "teacher"}))
    fault(await deputy.get("/api/v1/users"), 401, "session_ended")
