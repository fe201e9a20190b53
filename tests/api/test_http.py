"""HTTP itself, on a real server: bounds of head and body, slow callers, methods, headers, origins, hosts."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from api.app import create_app, started
from core.postgres import Postgres
from core.settings import Settings
from core.warehouse import Warehouse
from tests.api.conftest import fault, make_stores
from tests.api.serving import exchange, listening

_ORIGIN = "https://app.example.org"
_HEADERS = (
    "X-Request-ID",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Strict-Transport-Security",
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Permissions-Policy",
)


@pytest.fixture
async def server(postgres: Postgres, warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[tuple[FastAPI, int]]:
    """An impatient server with one allowed origin and two hosts."""
    stores = make_stores(
        postgres,
        warehouse,
        tmp_path,
        request_seconds=3,
        body_seconds=1,
        cors_origins=[_ORIGIN],
        allowed_hosts=["127.0.0.1", "*.example.org"],
    )
    async with started(create_app(stores=stores)) as app, listening(app, head_seconds=1) as port:
        yield app, port


async def test_http_is_bounded_and_says_what_it_must(server: tuple[FastAPI, int]) -> None:
    """One server for all of it: starting one takes longer than all these requests."""
    app, port = server
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await _check_head(client, port)
        await _check_slow_callers(port)
        await _check_slow_answers(app, client)
        await _check_pieces(app, client, port)
        await _check_methods(client)
        await _check_headers(client)
        await _check_origins(client)
        await _check_hosts(client)
        await _check_correlation(client)


async def _check_head(client: httpx2.AsyncClient, port: int) -> None:
    fault(await client.get("/" + "a" * 17_000), 414, "address_too_long")
    fault(await client.get("/api/v1/users?email=" + "a" * 17_000), 414, "address_too_long")
    fault(await client.get("/", headers={f"x-{n}": "1" for n in range(110)}), 431, "headers_too_large")
    fault(await client.get("/", headers={"x": "a" * 40_000}), 431, "headers_too_large")
    fault(await client.get("/health?" + "&".join(f"a{n}=1" for n in range(120))), 400, "too_many_parameters")
    endless = b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 1000) for n in range(100))
    assert b" 431 " in (await exchange(port, endless))[:20]
    answer = await exchange(port, b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert b" 400 " in answer[:20]
    assert b'"code":"bad_input"' in answer
    assert b"content-security-policy" in answer.lower()


async def _check_slow_callers(port: int) -> None:
    began = time.perf_counter()
    head = exchange(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", *[b"x: y\r\n"] * 6, pause=0.4)
    nothing = exchange(port)
    start = b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"
    body = exchange(port, start, *[b"{"] * 6, pause=0.4)
    slow_head, silent, slow_body = await asyncio.gather(head, nothing, body)
    assert b" 408 " in slow_head[:20], slow_head
    assert silent == b""
    assert b" 408 " in slow_body[:20], slow_body
    assert b'"code":"too_slow"' in slow_body
    assert time.perf_counter() - began < 15


async def _check_slow_answers(app: FastAPI, client: httpx2.AsyncClient) -> None:
    @app.get("/sleeps")
    async def sleeps() -> None:
        await asyncio.sleep(30)

    fault(await client.get("/sleeps"), 504, "timeout")


async def _check_pieces(app: FastAPI, client: httpx2.AsyncClient, port: int) -> None:
    """Head and body of a small answer come at once; a long one that never pauses comes whole."""

    @app.get("/streams")
    async def streams() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3_000):
                yield b"%06d" % number * 100

        return StreamingResponse(pieces())

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in (b"/health/live", b"/health/live", b"/nowhere"):
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head, _, body = (await reader.read(65_536)).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert len(body) == length > 0, head
    writer.close()
    assert (await client.get("/streams")).content == b"".join(b"%06d" % number * 100 for number in range(3_000))


async def _check_methods(client: httpx2.AsyncClient) -> None:
    fault(await client.request("TRACE", "/health/live"), 405, "method_not_allowed")
    fault(await client.request("TRACE", "/web/style.css"), 405, "method_not_allowed")
    fault(await client.request("PURGE", "/api/v1/users"), 405, "method_not_allowed")
    fault(await client.request("OPTIONS", "/api/v1/nowhere"), 404, "not_found")
    options = await client.request("OPTIONS", "/api/v1/quizzes/7")
    assert (options.status_code, options.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
    wrong = await client.request("PATCH", "/api/v1/quizzes/7")
    fault(wrong, 405, "method_not_allowed")
    for path in ("/health/live", "/web/style.css", "/", "/api/v1/users", "/api/v1/nowhere"):
        get, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers.get("Content-Length") == get.headers.get("Content-Length")


async def _check_headers(client: httpx2.AsyncClient) -> None:
    for path, status in {
        "/": 200,
        "/docs": 200,
        "/openapi.json": 200,
        "/web/style.css": 200,
        "/web/none": 404,
        "/health": 200,
        "/metrics": 200,
        "/api/v1/users": 401,
        "/cubejs-api/v1/meta": 403,
        "/nowhere": 404,
        "/" + "a" * 17_000: 414,
    }.items():
        answer = await client.get(path)
        assert answer.status_code == status, path
        assert [name for name in _HEADERS if name not in answer.headers] == [], path
        assert answer.headers["Cache-Control"] == "no-store"
        assert "unsafe-eval" not in answer.headers["Content-Security-Policy"]
        assert "server" not in answer.headers
    page = await client.get("/docs")
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    for script in scripts:
        digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["Content-Security-Policy"]
    assert "script-src" in page.headers["Content-Security-Policy"]
    assert "<script" not in (await client.get("/")).text, "the pages of ours hold no script that their policy forbids"


async def _check_origins(client: httpx2.AsyncClient) -> None:
    wish = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    good = await client.request("OPTIONS", "/api/v1/users", headers={"Origin": _ORIGIN, **wish})
    assert good.headers["Access-Control-Allow-Origin"] == _ORIGIN
    assert good.headers["Access-Control-Allow-Credentials"] == "true"
    for origin in ("https://evil.example.org", "null", _ORIGIN + ".evil.org", "http://app.example.org"):
        bad = await client.request("OPTIONS", "/api/v1/users", headers={"Origin": origin, **wish})
        assert "Access-Control-Allow-Origin" not in bad.headers, origin
        plain = await client.get("/health/live", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in plain.headers
    refused = await client.get("/api/v1/users", headers={"Origin": _ORIGIN})
    assert refused.headers["Access-Control-Allow-Origin"] == _ORIGIN, "an error is readable for the allowed origin too"


async def _check_hosts(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live", headers={"Host": "edu.example.org:9090"})).status_code == 200
    for host in ("evil.org", "example.org.evil.org", "", "xexample.org"):
        fault(await client.get("/health/live", headers={"Host": host}), 400, "unknown_host")


async def _check_correlation(client: httpx2.AsyncClient) -> None:
    headers = {"X-Request-ID": "one-7", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = await client.get("/api/v1/users", headers=headers)
    assert answer.headers["X-Request-ID"] == "one-7"
    bad = await client.get("/health/live", headers={"X-Request-ID": "a" * 101, "traceparent": "nonsense"})
    assert len(bad.headers["X-Request-ID"]) == 36


@pytest.mark.parametrize("origins", [["*"], ["https://*"], ["null"], ["https://a.org/path"], ["javascript:alert(1)"]])
def test_an_origin_that_is_none_stops_the_start(origins: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(cors_origins=origins)


async def test_the_docs_can_be_switched_off(postgres: Postgres, warehouse: Warehouse, tmp_path: Path) -> None:
    stores = make_stores(postgres, warehouse, tmp_path, docs=False)
    async with started(create_app(stores=stores)) as app:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in ("/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect"):
                fault(await client.get(path), 404, "not_found")
