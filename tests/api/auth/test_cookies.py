"""The refresh token as a cookie: no script reads it, no other site uses it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.conftest import PASSWORD, data, fault, register

OWN = {"Origin": "http://test"}


async def _login(client: httpx2.AsyncClient, headers: dict[str, str] = OWN) -> httpx2.Response:
    person = await register(client, "admin", school_name="S")
    wish = {"email": person.email, "password": PASSWORD}
    return await client.post("/api/v1/auth/login?cookie=true", json=wish, headers=headers)


def _cookie(response: httpx2.Response) -> dict[str, str]:
    value = response.headers["set-cookie"].split(";")[0]
    return {"Cookie": value}


async def test_the_token_is_in_the_cookie_and_nowhere_else(client: httpx2.AsyncClient) -> None:
    answer = await _login(client)
    assert data(answer)["refresh_token"] is None
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "__Host-refresh"
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/", "max-age=600"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://test.evil.example"}, 403),
        ({"Origin": "http://test:8080"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
async def test_only_our_own_pages_use_it(client: httpx2.AsyncClient, headers: dict[str, str], status: int) -> None:
    cookie = _cookie(await _login(client))
    answer: Any = await client.post("/api/v1/auth/refresh", headers=cookie | headers)
    if status == 200:
        assert data(answer)["refresh_token"] is None
        assert _cookie(answer) != cookie
    else:
        fault(answer, 403, "cross_site")
        data(await client.post("/api/v1/auth/refresh", headers=cookie | OWN))


async def test_no_other_site_logs_somebody_in(client: httpx2.AsyncClient) -> None:
    fault(await _login(client, {"Origin": "https://evil.example"}), 403, "cross_site")


async def test_log_out_takes_the_cookie_away(client: httpx2.AsyncClient) -> None:
    answer = await _login(client)
    headers = _cookie(answer) | {"Authorization": f"Bearer {data(answer)['access_token']}"}
    gone = await client.post("/api/v1/auth/logout", headers=headers)
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    fault(await client.post("/api/v1/auth/refresh", headers=_cookie(answer) | OWN), 401, "refresh_refused")
