"""Registration, log-in, tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI

from api.auth.tokens import Tokens
from api.principal import Principal
from core.errors import Unauthenticated
from core.postgres import Postgres
from tests.api.conftest import PASSWORD, SECRET, data, fault, login, register


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


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_log_in(client: httpx2.AsyncClient) -> None:
    person = await register(client, "admin", school_name="S")
    spent = person.tokens["refresh_token"]
    person.tokens = data(await client.post("/api/v1/auth/refresh", json={"refresh_token": spent}))
    data(await person.get("/api/v1/users/me"))
    fault(await client.post("/api/v1/auth/refresh", json={"refresh_token": spent}), 401, "refresh_refused")
    newest = {"refresh_token": person.tokens["refresh_token"]}
    fault(await client.post("/api/v1/auth/refresh", json=newest), 401, "refresh_refused")
    fault(await person.get("/api/v1/users/me"), 401, "session_ended")


async def test_a_made_up_refresh_token_ends_nobodys_log_in(client: httpx2.AsyncClient) -> None:
    person = await register(client, "admin", school_name="S")
    session = person.tokens["refresh_token"].split(".")[0]
    for token in (f"{session}.made-up.{'0' * 32}", "x", "..", "ü.ü.ü"):
        fault(await client.post("/api/v1/auth/refresh", json={"refresh_token": token}), 401, "refresh_refused")
    data(await client.post("/api/v1/auth/refresh", headers={"Authorization": person.tokens["refresh_token"]}))


async def test_log_out_ends_this_log_in_and_no_other(client: httpx2.AsyncClient) -> None:
    first = await register(client, "admin", school_name="S")
    second = await login(client, first.email)
    data(await first.post("/api/v1/auth/logout"))
    fault(await first.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/api/v1/auth/refresh", json={"refresh_token": first.tokens["refresh_token"]}), 401)
    data(await second.get("/api/v1/users/me"))


async def test_a_new_password_ends_every_other_log_in(client: httpx2.AsyncClient) -> None:
    person = await register(client, "admin", school_name="S")
    other = await login(client, person.email)
    change = {"current_password": PASSWORD, "new_password": "another good password"}
    data(await person.post("/auth/password", change))
    data(await person.get("/api/v1/users/me"))
    fault(await other.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/auth/login", json={"email": person.email, "password": PASSWORD}), 401)


def _forged(kind: str) -> str:
    tokens = Tokens(SECRET, timedelta(minutes=5))
    operator = Principal(role="operator", subject="x")
    good = tokens.issue(operator)
    claims = jwt.decode(good, options={"verify_signature": False})
    header = {"typ": "at+jwt", "kid": jwt.get_unverified_header(good)["kid"]}
    public = tokens._public.public_bytes_raw()
    made: dict[str, Callable[[], str]] = {
        "expired": lambda: tokens.issue(operator, timedelta(seconds=-5)),
        "another installation": lambda: Tokens(b"x" * 32, timedelta(minutes=5)).issue(operator),
        "no algorithm": lambda: jwt.encode(claims, "", algorithm="none", headers=header),
        "public key as HMAC secret": lambda: jwt.encode(
            claims, public.hex(), algorithm="HS256", headers={"typ": "at+jwt"}
        ),
        "another type": lambda: jwt.encode(claims, tokens._private, algorithm="EdDSA"),
        "another audience": lambda: jwt.encode(
            claims | {"aud": "x"}, tokens._private, algorithm="EdDSA", headers=header
        ),
        "no end": lambda: jwt.encode(
            {k: v for k, v in claims.items() if k != "exp"}, tokens._private, algorithm="EdDSA", headers=header
        ),
        "cut": lambda: good[:-4],
        "garbage": lambda: "garbage",
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "expired",
        "another installation",
        "no algorithm",
        "public key as HMAC secret",
        "another type",
        "another audience",
        "no end",
        "cut",
        "garbage",
    ],
)
async def test_a_bad_token_is_refused(client: httpx2.AsyncClient, kind: str) -> None:
    headers = {"Authorization": f"Bearer {_forged(kind)}"}
    fault(await client.get("/api/v1/users", headers=headers), 401)
    cube = await client.get("/cubejs-api/v1/meta", headers=headers)
    assert (cube.status_code, set(cube.json())) == (403, {"error"})


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


def test_a_token_that_was_good_once_is_refused_after_its_end() -> None:
    tokens = Tokens(SECRET, timedelta(minutes=5))
    token = tokens.issue(Principal(role="operator", subject="x"), timedelta(seconds=2))
    assert tokens.verify(token) == tokens.verify(token)
    time.sleep(2.1)
    with pytest.raises(Unauthenticated):
        tokens.verify(token)
