"""No token that we did not make opens anything."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI

from api.auth.tokens import Tokens
from api.principal import Principal
from core.errors import Unauthenticated
from tests.api.auth.forge import CASES, forge
from tests.api.conftest import SECRET, data, fault

OPERATOR = Principal(role="operator", subject="x")


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """Those of this installation."""
    return Tokens(SECRET, timedelta(minutes=5))


def test_without_a_change_the_token_is_good(tokens: Tokens) -> None:
    assert tokens.verify(forge(tokens.keys, {})).role == "operator"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_forged_token_is_refused(tokens: Tokens, case: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(forge(tokens.keys, case))


async def test_every_door_refuses_them_with_keys_that_rotate(application: FastAPI, client: httpx2.AsyncClient) -> None:
    ring = application.state.services.tokens.keys
    assert ring.current is not ring.installation
    data(await client.get("/api/v1/users", headers={"Authorization": f"Bearer {forge(ring, {})}"}))
    for case in CASES:
        headers = {"Authorization": f"Bearer {forge(ring, case)}"}
        fault(await client.get("/api/v1/users", headers=headers), 401)
        cube = await client.get("/cubejs-api/v1/meta", headers=headers)
        assert (cube.status_code, set(cube.json())) == (403, {"error"}), case["name"]


@pytest.mark.parametrize("cut", ["", "garbage", "a.b.c", "..", "ü.ü.ü", "." * 5000])
def test_what_is_no_token_is_refused(tokens: Tokens, cut: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(cut)


def test_every_changed_byte_is_noticed(tokens: Tokens) -> None:
    good = tokens.issue(OPERATOR)
    for place in range(0, len(good) - 1, 3):
        other = "A" if good[place] != "A" else "B"
        with pytest.raises(Unauthenticated):
            tokens.verify(good[:place] + other + good[place + 1 :])
    with pytest.raises(Unauthenticated):
        tokens.verify(good[:-4])


def test_a_token_that_was_good_once_is_refused_after_its_end(tokens: Tokens) -> None:
    token = tokens.issue(OPERATOR, timedelta(seconds=2))
    assert tokens.verify(token) == tokens.verify(token)
    time.sleep(2.1)
    with pytest.raises(Unauthenticated) as refused:
        tokens.verify(token)
    assert refused.value.code == "token_expired"


def test_clocks_of_servers_may_differ_by_seconds(tokens: Tokens) -> None:
    assert tokens.verify(forge(tokens.keys, {"claims": {"iat": 20, "nbf": 20}})).role == "operator"


def test_a_strangers_library_verifies_our_tokens_by_the_published_keys(tokens: Tokens) -> None:
    keys = jwt.PyJWKSet.from_dict({"keys": tokens.keys.published()})
    token = tokens.issue(OPERATOR)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, ["EdDSA"], audience="eduanalytics-api")["sub"] == "x"
