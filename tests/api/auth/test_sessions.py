"""Log-ins: refreshed, listed, ended by their owner, by an admin, by a theft that shows."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.auth.pruning import Pruning
from core.postgres import Postgres
from tests.api.conftest import PASSWORD, Person, School, data, fault, login, make_school, register

_LATER = "update login_sessions set rotated_at = rotated_at - interval '11 seconds'"


async def _refresh(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def _renewed(client: httpx2.AsyncClient, token: str) -> str:
    return str(data(await _refresh(client, token))["refresh_token"])


@pytest.fixture
async def person(client: httpx2.AsyncClient) -> Person:
    """Somebody who is logged in."""
    return await register(client, "admin", school_name="S")


async def test_a_refresh_token_used_later_again_ends_the_log_in(
    client: httpx2.AsyncClient, person: Person, postgres: Postgres
) -> None:
    spent = person.tokens["refresh_token"]
    person.tokens = data(await _refresh(client, spent))
    data(await person.get("/api/v1/users/me"))
    await postgres.fetch(_LATER)
    fault(await _refresh(client, spent), 401, "refresh_refused")
    fault(await _refresh(client, person.tokens["refresh_token"]), 401, "refresh_refused")
    fault(await person.get("/api/v1/users/me"), 401, "session_ended")
    row = await postgres.fetch_one("select revoked_reason from login_sessions")
    assert row == {"revoked_reason": "a spent refresh token was used again"}


async def test_a_lost_answer_is_given_again(client: httpx2.AsyncClient, person: Person) -> None:
    spent = person.tokens["refresh_token"]
    answers = await asyncio.gather(*(_renewed(client, spent) for _ in range(8)))
    assert len(set(answers)) == 1
    assert await _renewed(client, answers[0]) not in {spent, answers[0]}


async def test_the_moments_grace_is_for_the_token_just_before_only(client: httpx2.AsyncClient, person: Person) -> None:
    first = person.tokens["refresh_token"]
    second = await _renewed(client, first)
    third = await _renewed(client, second)
    fault(await _refresh(client, first), 401, "refresh_refused")
    fault(await _refresh(client, third), 401, "refresh_refused")


async def test_a_made_up_refresh_token_ends_nobodys_log_in(client: httpx2.AsyncClient, person: Person) -> None:
    session = person.tokens["refresh_token"].split(".")[0]
    for token in (f"{session}.made-up.{'0' * 32}", "x", "..", "ü.ü.ü", person.tokens["access_token"]):
        fault(await _refresh(client, token[:500]), 401, "refresh_refused")
    data(await client.post("/api/v1/auth/refresh", headers={"Authorization": person.tokens["refresh_token"]}))


async def test_a_log_in_lasts_as_long_as_the_settings_say(
    client: httpx2.AsyncClient, person: Person, postgres: Postgres
) -> None:
    assert (person.tokens["expires_in"], person.tokens["refresh_expires_in"]) == (300, 600)
    await postgres.fetch("update login_sessions set created_at = created_at - interval '23 hours 55 minutes'")
    answer = data(await _refresh(client, person.tokens["refresh_token"]))
    assert 290 <= answer["refresh_expires_in"] <= 300
    await postgres.fetch("update login_sessions set expires_at = now() - interval '1 second'")
    fault(await _refresh(client, answer["refresh_token"]), 401, "refresh_refused")


async def test_log_out_ends_this_log_in_and_no_other(client: httpx2.AsyncClient, person: Person) -> None:
    second = await login(client, person.email)
    data(await person.post("/api/v1/auth/logout"))
    fault(await person.get("/api/v1/users/me"), 401, "session_ended")
    fault(await _refresh(client, person.tokens["refresh_token"]), 401)
    data(await second.get("/api/v1/users/me"))


async def test_people_see_and_end_their_own_log_ins(client: httpx2.AsyncClient, person: Person) -> None:
    wish = {"email": person.email, "password": PASSWORD}
    agent = {"User-Agent": "Phone\x7f" + "x" * 400}
    phone = data(await client.post("/auth/login", json=wish, headers=agent))
    listed = {item["current"]: item for item in data(await person.get("/api/v1/auth/sessions"))}
    assert len(listed) == 2
    assert listed[False]["client"] == ("Phone" + "x" * 400)[:300]
    stranger = await register(client, "admin", school_name="T")
    fault(await stranger.call("DELETE", f"/api/v1/auth/sessions/{listed[False]['id']}"), 404)
    data(await person.call("DELETE", f"/api/v1/auth/sessions/{listed[False]['id']}"))
    fault(await person.call("DELETE", f"/api/v1/auth/sessions/{listed[False]['id']}"), 404)
    fault(await _refresh(client, phone["refresh_token"]), 401)
    assert [item["current"] for item in data(await person.get("/api/v1/auth/sessions"))] == [True]


async def test_log_out_everywhere(client: httpx2.AsyncClient, person: Person) -> None:
    others = [await login(client, person.email) for _ in range(2)]
    assert data(await person.post("/api/v1/auth/logout-all")) == {"ended": 3}
    for one in (person, *others):
        fault(await one.get("/api/v1/users/me"), 401, "session_ended")
    data(await (await login(client, person.email)).get("/api/v1/users/me"))


async def _deputy(client: httpx2.AsyncClient, admin: Person) -> Person:
    email = f"deputy{admin.id}@example.org"
    await admin.make("users", name="Deputy", role="teacher", email=email, password=PASSWORD)
    return await login(client, email)


@pytest.mark.parametrize("change", [{"role": "admin"}, {"disabled": True}])
async def test_another_role_or_no_account_is_felt_at_once(
    client: httpx2.AsyncClient, person: Person, change: dict[str, Any]
) -> None:
    deputy = await _deputy(client, person)
    data(await deputy.get("/api/v1/users"))
    data(await person.call("PATCH", f"/api/v1/users/{deputy.id}", json=change))
    fault(await deputy.get("/api/v1/users"), 401, "session_ended")
    fault(await _refresh(client, deputy.tokens["refresh_token"]), 401, "refresh_refused")


async def test_a_disabled_account_cannot_log_in_until_it_is_enabled(client: httpx2.AsyncClient, person: Person) -> None:
    deputy = await _deputy(client, person)
    wish = {"email": deputy.email, "password": PASSWORD}
    fault(await deputy.call("PATCH", f"/api/v1/users/{deputy.id}", json={"disabled": False}), 403)
    fault(await person.call("PATCH", f"/api/v1/users/{person.id}", json={"disabled": True}), 403)
    data(await person.call("PATCH", f"/api/v1/users/{deputy.id}", json={"disabled": True}))
    refusals = [await client.post("/auth/login", json=wish | {"password": word}) for word in (PASSWORD, "another")]
    assert fault(refusals[0], 401, "bad_credentials") == fault(refusals[1], 401, "bad_credentials")
    data(await person.call("PATCH", f"/api/v1/users/{deputy.id}", json={"name": "D"}))
    fault(await client.post("/auth/login", json=wish), 401, "bad_credentials")
    data(await person.call("PATCH", f"/api/v1/users/{deputy.id}", json={"disabled": False}))
    data(await client.post("/auth/login", json=wish))


async def test_an_admin_ends_what_people_of_his_school_hold(client: httpx2.AsyncClient, person: Person) -> None:
    deputy = await _deputy(client, person)
    made = data(await deputy.post("/api/v1/auth/service-tokens", {"name": "n", "scopes": ["query"]}), 201)
    stranger = await register(client, "admin", school_name="T")
    fault(await stranger.call("DELETE", f"/api/v1/users/{deputy.id}/sessions"), 404)
    fault(await deputy.call("DELETE", f"/api/v1/users/{person.id}/sessions"), 403)
    data(await deputy.get("/api/v1/users"))
    assert data(await person.call("DELETE", f"/api/v1/users/{deputy.id}/sessions")) == {"ended": 1}
    fault(await deputy.get("/api/v1/users"), 401, "session_ended")
    answer = await client.get("/cubejs-api/v1/meta", headers={"Authorization": made["token"]})
    assert answer.status_code == 403
    data(await (await login(client, deputy.email)).get("/api/v1/users"))


async def test_a_login_beside_a_change_of_role_never_keeps_the_old_role(
    client: httpx2.AsyncClient, person: Person
) -> None:
    deputy = await _deputy(client, person)
    wish = {"email": deputy.email, "password": PASSWORD}
    for role in ("admin", "teacher") * 3:
        change = person.call("PATCH", f"/api/v1/users/{deputy.id}", json={"role": role})
        answers = await asyncio.gather(client.post("/auth/login", json=wish), change)
        deputy.tokens = data(answers[0])
        seen = await deputy.get("/api/v1/auth/service-tokens")
        assert seen.status_code == 401 or (await deputy.get("/api/v1/status")).status_code == 403
        if seen.status_code == 200:
            made = await deputy.post("/api/v1/classrooms", {"name": "x"})
            assert made.status_code == (201 if role == "admin" else 403)


async def test_a_user_who_vanished_from_the_record_is_out_within_a_second(
    client: httpx2.AsyncClient, postgres: Postgres, application: FastAPI
) -> None:
    school: School = await make_school(client)
    data(await school.student.get("/api/v1/classrooms"))
    await postgres.fetch(f"update users set disabled_at = now() where id = {school.student.id}")
    await asyncio.sleep(1.1)
    fault(await school.student.get("/api/v1/classrooms"), 401, "session_ended")


async def test_a_password_that_was_replaced_while_it_was_checked_opens_nothing(
    client: httpx2.AsyncClient, person: Person, application: FastAPI, postgres: Postgres
) -> None:
    passwords = application.state.services.ingestion.accounts.passwords
    matches = passwords.matches

    async def slowly(password: str, kept: str | None) -> bool:
        right: bool = await matches(password, kept)
        await postgres.fetch("update users set password_hash = 'another'")
        return right

    passwords.matches = slowly
    fault(await client.post("/auth/login", json={"email": person.email, "password": PASSWORD}), 401, "bad_credentials")
    assert await postgres.fetch("select distinct password_hash from users") == [{"password_hash": "another"}]


async def test_what_is_long_over_is_deleted(client: httpx2.AsyncClient, person: Person, postgres: Postgres) -> None:
    code = {"role": "student", "days": 1}
    for _ in range(2):
        await person.make("invitations", **code)
    await login(client, person.email)
    await login(client, person.email)
    data(await person.post("/auth/password/forgot", {"email": "nobody@example.org"}), 202)
    assert set((await Pruning(postgres).prune()).values()) == {0}
    one = "where id = (select id from {0} order by id limit 1)"
    for statement in (
        f"update login_sessions set expires_at = now() - interval '31 days' {one.format('login_sessions')}",
        "update login_sessions set revoked_at = now() - interval '29 days' where expires_at > now()",
        f"update invitations set expires_at = now() - interval '31 days' {one.format('invitations')}",
        """insert into mail_tokens (id, user_id, purpose, email, token_hash, created_at, expires_at)
           select gen_random_uuid(), id, 'verify_email', email, sha256(day::text::bytea),
                  now() - make_interval(days => day), now() - interval '1 second'
           from users cross join generate_series(0, 2) day""",
        """insert into letters (id, kind, email, expires_at, next_try_at)
           values (gen_random_uuid(), 'welcome', 'x@example.org', now() - interval '1 second', 'infinity')""",
    ):
        await postgres.fetch(statement)
    counts = await Pruning(postgres).prune()
    assert counts == {"letters": 1, "mail_tokens": 2, "invitations": 1, "login_sessions": 1, "dead_letters": 0}
