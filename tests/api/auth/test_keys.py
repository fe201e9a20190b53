"""Signing keys: made once, rotated without anybody noticing, published, sealed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx2
import jwt
from fastapi import FastAPI

from api.auth.key_ring import KEYS_PURPOSE, Sealer, SigningKey
from api.auth.keys import Keys
from api.auth.tokens import Tokens
from core.postgres import Postgres
from tests.api.auth.conftest import StartServer
from tests.api.conftest import SECRET, Person, data, fault, login, register

_OLD = "update signing_keys set created_at = created_at - interval '1 minute'"


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_two_servers_that_start_at_once_make_one_key(postgres: Postgres) -> None:
    made = [Keys(postgres, Tokens(SECRET, timedelta(minutes=5)), Sealer(SECRET, KEYS_PURPOSE)) for _ in range(4)]
    await asyncio.gather(*(keys.ensure() for keys in made))
    rows = await postgres.fetch("select state from signing_keys order by state")
    assert [row["state"] for row in rows] == ["current", "next"]
    assert len({keys.tokens.keys.current.kid for keys in made}) == 1


async def test_a_rotation_is_seen_by_every_server_within_five_seconds_and_ends_no_log_in(
    start_server: StartServer, postgres: Postgres
) -> None:
    async with AsyncExitStack() as stack:
        near, far = [await stack.enter_async_context(start_server()) for _ in range(2)]
        person = await register(near.client, "admin", school_name="S")
        before = {row["state"]: row["kid"] for row in await postgres.fetch("select state, kid from signing_keys")}
        assert _kid(person.tokens["access_token"]) == before["current"]
        await postgres.fetch(_OLD)
        await near.services.ingestion.keys.rotate()
        renewed = await login(near.client, person.email)
        assert _kid(renewed.tokens["access_token"]) == before["next"]
        data(await far.sees(renewed).get("/api/v1/users/me"))  # published before it signed
        data(await far.sees(person).get("/api/v1/users/me"))  # retired, and good until its tokens expire
        started = time.monotonic()
        while far.services.tokens.keys.current.kid != before["next"]:
            assert time.monotonic() - started < 5
            await asyncio.sleep(0.05)


async def test_keys_are_rotated_by_an_operator_and_not_in_haste(
    client: httpx2.AsyncClient, operator: Person, postgres: Postgres
) -> None:
    admin = await register(client, "admin", school_name="S")
    fault(await admin.post("/api/v1/auth/keys/rotate"), 403)
    fault(await admin.get("/api/v1/auth/keys"), 403)
    fault(await operator.post("/api/v1/auth/keys/rotate"), 409, "too_soon")
    await postgres.fetch(_OLD)
    states = [key["state"] for key in data(await operator.post("/api/v1/auth/keys/rotate"))]
    assert sorted(states) == ["current", "next", "retired"]
    published = (await client.get("/.well-known/jwks.json")).json()["keys"]
    assert {"d", "k"}.isdisjoint({name for key in published for name in key})
    assert len(published) == 4  # and the installation's own
    data(await admin.get("/api/v1/users/me"))


async def test_a_retired_key_is_forgotten_when_its_tokens_have_expired(
    application: FastAPI, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    admin = await register(client, "admin", school_name="S")
    await postgres.fetch(_OLD)
    keys = application.state.services.ingestion.keys
    await keys.rotate()
    data(await admin.get("/api/v1/users/me"))
    await postgres.fetch("update signing_keys set retired_at = now() - interval '3 hours' where state = 'retired'")
    await keys.load()
    fault(await admin.get("/api/v1/users/me"), 401, "invalid_token")


async def test_a_key_that_our_secret_did_not_seal_is_not_trusted(
    application: FastAPI, client: httpx2.AsyncClient, postgres: Postgres
) -> None:
    services = application.state.services
    stranger = Tokens(b"another secret, thirty-two bytes.", timedelta(minutes=5))
    await postgres.fetch("delete from signing_keys")
    await Keys(postgres, stranger, Sealer(b"another secret, thirty-two bytes.", KEYS_PURPOSE)).ensure()
    await services.ingestion.keys.load()
    assert stranger.keys.current.kid not in {key["kid"] for key in services.tokens.keys.published()}
    data(await (await register(client, "admin", school_name="S")).get("/api/v1/users/me"))
    await services.ingestion.keys.ensure()
    assert services.tokens.keys.current is not services.tokens.keys.installation


def test_sealed_keys_cannot_be_exchanged_or_changed() -> None:
    sealer, ring = Sealer(SECRET, KEYS_PURPOSE), Tokens(SECRET, timedelta(minutes=5)).keys
    sealed = ring.installation.sealed(sealer)
    opened = SigningKey.opened(sealer, ring.installation.kid, sealed, "current")
    assert opened is not None
    assert opened.kid == ring.installation.kid
    assert ring.installation.private.private_bytes_raw() not in sealed
    assert SigningKey.opened(sealer, "another", sealed, "current") is None
    assert SigningKey.opened(sealer, ring.installation.kid, sealed[:-1] + bytes([sealed[-1] ^ 1]), "current") is None
    assert SigningKey.opened(sealer, ring.installation.kid, b"", "current") is None
