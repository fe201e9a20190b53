"""Passwords after the first: changed, forgotten, handed out; addresses that are proved."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from core.postgres import Postgres
from tests.api.accounts.conftest import address, made_user, mail, outbox, secret
from tests.api.conftest import PASSWORD, Person, data, fault, login, member, register

ANOTHER = "another good password"


async def test_a_change_needs_the_password_and_ends_the_other_log_ins(
    client: httpx2.AsyncClient, admin: Person, folder: Path
) -> None:
    user = await made_user(admin, password=PASSWORD)
    here, there = await login(client, user["email"]), await login(client, user["email"])
    change = {"current_password": PASSWORD, "new_password": ANOTHER}
    fault(await here.post("/auth/password", change | {"current_password": "guess"}), 403, "wrong_password")
    fault(await here.post("/auth/password", change | {"new_password": "sunshine"}), 422, "weak_password")
    fault(await here.post("/auth/password", change | {"new_password": user["email"]}), 422, "weak_password")
    data(await here.post("/auth/password", change))
    data(await here.get("/api/v1/users/me"))
    fault(await there.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/auth/login", json={"email": user["email"], "password": PASSWORD}), 401)
    data(await client.post("/auth/login", json={"email": user["email"], "password": ANOTHER}))
    assert "changed" in (await mail(folder, user["email"]))["Subject"]
    fault(await here.call("PATCH", f"/api/v1/users/{user['id']}", json={"password": PASSWORD}), 403)


async def test_a_forgotten_password_is_set_by_mail_once(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres
) -> None:
    user = await made_user(admin, password=PASSWORD)
    session = await login(client, user["email"])
    wish = {"email": user["email"].upper(), "language": "de"}
    assert (await client.post("/auth/password/forgot", json=wish)).status_code == 202
    message = await mail(folder, user["email"])
    token = secret(message)
    assert "30 Minuten" in message.get_content()
    row = await record.fetch_one("select count(*) as n from mail_tokens where token_hash = %s", [token.encode()])
    assert row == {"n": 0}
    reset = {"token": token, "password": ANOTHER}
    fault(await client.post("/auth/password/reset", json=reset | {"password": "password1"}), 422, "weak_password")
    answers = await asyncio.gather(*(client.post("/auth/password/reset", json=reset) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    fault(await client.post("/auth/password/reset", json=reset), 400, "bad_token")
    fault(await session.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/auth/refresh", json={"refresh_token": session.tokens["refresh_token"]}), 401)
    data(await client.post("/auth/login", json={"email": user["email"], "password": ANOTHER}))


@pytest.mark.parametrize("end", ["expired", "another address", "disabled", "another purpose", "another password"])
async def test_a_link_that_ended_sets_nothing(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres, end: str
) -> None:
    user = await made_user(admin, password=PASSWORD)
    await client.post("/auth/password/forgot", json={"email": user["email"]})
    token = secret(await mail(folder, user["email"]))
    if end == "expired":
        await record.fetch("update mail_tokens set expires_at = now() where user_id = %s", [user["id"]])
    elif end == "another address":
        data(await admin.call("PATCH", f"/api/v1/users/{user['id']}", json={"email": address()}))
    elif end == "disabled":
        await record.fetch("update users set disabled_at = now() where id = %s", [user["id"]])
    elif end == "another password":
        here = await login(client, user["email"])
        data(await here.post("/auth/password", {"current_password": PASSWORD, "new_password": ANOTHER}))
    if end == "another purpose":
        fault(await client.post("/auth/verify", json={"token": token}), 400, "bad_token")
    else:
        fault(await client.post("/auth/password/reset", json={"token": token, "password": ANOTHER}), 400, "bad_token")


async def test_nobody_learns_whether_an_address_has_an_account(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres
) -> None:
    stranger = address("nobody")
    for path in ("/auth/password/forgot", "/auth/verify/resend", "/api/v1/auth/password/forgot"):
        known = await client.post(path, json={"email": admin.email})
        unknown = await client.post(path, json={"email": stranger})
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, known.content)
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(15):
        for there in (True, False):
            began = time.perf_counter()
            await client.post("/auth/password/forgot", json={"email": admin.email if there else address("nobody")})
            took[there].append(time.perf_counter() - began)
    known_median, unknown_median = statistics.median(took[True]), statistics.median(took[False])
    assert 1 / 3 < known_median / unknown_median < 3
    await _settled(record)
    assert outbox(folder, stranger) == []


async def _settled(record: Postgres) -> None:
    for _ in range(400):
        if not await record.fetch("select 1 from letters"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("letters are left")


async def test_nobody_is_flooded_with_mails(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres
) -> None:
    user = await made_user(admin, password=PASSWORD)
    for _ in range(8):
        await client.post("/auth/password/forgot", json={"email": user["email"]})
        await _settled(record)
    assert len(outbox(folder, user["email"])) == 5


async def test_an_address_is_proved_by_its_mail(
    client: httpx2.AsyncClient, application: FastAPI, folder: Path, record: Postgres
) -> None:
    person = await register(client, "admin", school_name="Valley")
    token = secret(await mail(folder, person.email))
    accounts = application.state.services.ingestion.accounts
    usual = accounts.settings
    accounts.settings = usual.model_copy(update={"unverified_login": False})
    try:
        wish = {"email": person.email, "password": PASSWORD}
        fault(await client.post("/auth/login", json=wish), 403, "address_unverified")
        fault(await client.post("/auth/login", json=wish | {"password": "guess"}), 401, "bad_credentials")
        await client.post("/auth/verify/resend", json={"email": person.email})
        newer = secret(await mail(folder, person.email, 2))
        data(await client.post("/auth/verify", json={"token": newer}))
        fault(await client.post("/auth/verify", json={"token": token}), 400, "bad_token")
        data(await client.post("/auth/login", json=wish))
        await client.post("/auth/verify/resend", json={"email": person.email})
        await _settled(record)
        assert len(outbox(folder, person.email)) == 2
    finally:
        accounts.settings = usual


async def test_an_admin_hands_out_a_one_time_password(client: httpx2.AsyncClient, admin: Person) -> None:
    user = await made_user(admin, password=PASSWORD)
    session = await login(client, user["email"])
    path = f"/api/v1/users/{user['id']}/one-time-password"
    made = data(await admin.post(path))
    assert made["login"] == user["email"]
    fault(await session.get("/api/v1/users/me"), 401, "session_ended")
    fault(await client.post("/auth/login", json={"email": user["email"], "password": PASSWORD}), 401)
    wish = {"email": user["email"], "password": made["one_time_password"]}
    fault(await client.post("/auth/login", json=wish), 403, "password_change_required")
    data(await client.post("/auth/login", json=wish | {"new_password": ANOTHER}))
    nameless = await member(admin, "student")
    assert "@" not in data(await admin.post(f"/api/v1/users/{nameless.id}/one-time-password"))["login"]
    for role in ("teacher", "student"):
        fault(await (await member(admin, role)).post(path), 403)
    fault(await admin.post(f"/api/v1/users/{admin.id}/one-time-password"), 403, "own_password")
    stranger = await register(client, "admin", school_name="Valley")
    fault(await stranger.post(path), 404)


async def test_an_admins_session_alone_moves_his_own_account_nowhere(admin: Person) -> None:
    own = f"/api/v1/users/{admin.id}"
    fault(await admin.call("PATCH", own, json={"email": address()}), 403, "own_email")
    data(await admin.call("PATCH", own, json={"email": admin.email.upper(), "name": "Head"}))
    other = await made_user(admin)
    moved = address()
    assert data(await admin.call("PATCH", f"/api/v1/users/{other['id']}", json={"email": moved}))["email"] == moved


async def test_a_wrong_password_takes_as_long_for_a_one_time_password(
    client: httpx2.AsyncClient, admin: Person
) -> None:
    usual, handed = await made_user(admin, password=PASSWORD), await made_user(admin)
    data(await admin.post(f"/api/v1/users/{handed['id']}/one-time-password"))
    took: dict[str, list[float]] = {usual["email"]: [], handed["email"]: [], address("nobody"): []}
    for _ in range(7):
        for email, times in took.items():
            began = time.perf_counter()
            fault(await client.post("/auth/login", json={"email": email, "password": "a wrong password"}), 401)
            times.append(time.perf_counter() - began)
    fastest = [min(times) for times in took.values()]
    assert max(fastest) < 3 * min(fastest)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/password/forgot", {"email": "nobody"}),
        ("/auth/password/forgot", {}),
        ("/auth/password/reset", {"token": "", "password": PASSWORD}),
        ("/auth/password/reset", {"token": "x" * 101, "password": PASSWORD}),
        ("/auth/password/reset", {"token": "x", "password": "short"}),
        ("/auth/verify", {"token": None}),
        ("/auth/verify/resend", {"email": "a@example.org", "language": "fr"}),
    ],
)
async def test_a_bad_wish_is_refused(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> None:
    fault(await client.post(path, json=body), 422)
