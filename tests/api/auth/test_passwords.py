"""Password hashes: ours, and those that imported accounts bring."""

from __future__ import annotations

import bcrypt
import httpx2
import pytest

from api.auth.passwords import Passwords
from core.postgres import Postgres
from tests.api.conftest import PASSWORD, data, fault, login, register

LONG = "ä" * 50  # 100 bytes of UTF-8


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_a_bcrypt_hash_is_good_for_one_log_in(
    client: httpx2.AsyncClient, postgres: Postgres, prefix: str
) -> None:
    person = await register(client, "admin", school_name="S")
    old = prefix + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()[4:]
    await postgres.fetch("update users set password_hash = %s", [old])
    wrong = {"email": person.email, "password": "another"}
    fault(await client.post("/auth/login", json=wrong), 401, "bad_credentials")
    await login(client, person.email)
    row = await postgres.fetch_one("select password_hash from users")
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$")
    await login(client, person.email)
    fault(await client.post("/auth/login", json=wrong), 401, "bad_credentials")
    data(await client.post("/auth/login", json=wrong | {"password": PASSWORD}))


async def test_long_passwords_match_as_they_did_where_bcrypt_cut_them() -> None:
    kept = bcrypt.hashpw(LONG.encode()[:72], bcrypt.gensalt(4)).decode()
    passwords = Passwords()
    assert await passwords.matches(LONG, kept)
    assert not await passwords.matches(LONG[:35], kept)
    assert passwords.outdated(kept)


@pytest.mark.parametrize(
    "kept",
    [
        "$2b$31$" + "a" * 53,  # would take weeks
        "$2b$04$short",
        "$2x$04$" + "a" * 53,
        "$2b$04$" + "!" * 53,
        "plain text",
        "",
    ],
)
async def test_what_is_no_hash_matches_nothing(kept: str) -> None:
    for password in ("plain text", "", "\x00", LONG):
        assert not await Passwords().matches(password, kept)


async def test_a_nul_is_no_match() -> None:
    kept = bcrypt.hashpw(b"abc", bcrypt.gensalt(4)).decode()
    assert not await Passwords().matches("abc\x00def", kept)
    assert await Passwords().matches("abc", kept)
