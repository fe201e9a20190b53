"""The log tells what happened and never to whom: a flow is searched for its names, addresses, passwords and tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from api.app import create_app, started
from core.errors import RefusedByStore
from core.postgres import Postgres
from core.scrubbing import scrub
from core.telemetry import log
from core.warehouse import Warehouse
from tests.api.conftest import PASSWORD, login, make_stores

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_NAME, _EMAIL, _QUIZ = "Zebulon Quakenbush", "zebulon.q@example.org", "Quincunx"


async def test_a_flow_leaves_no_name_address_password_or_token_in_the_log(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = make_stores(postgres, warehouse, tmp_path, log_level="debug")
    async with started(create_app(stores=stores)) as app:

        @app.get("/breaks")
        async def breaks() -> None:
            async with postgres.transaction() as connection:
                await connection.execute(
                    "insert into users (school_id, role, name, email) select school_id, role, name, email from users"
                )

        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            secrets = await _flow(client)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    written = "\n".join(lines)
    for secret in (_NAME, "Zebulon", _EMAIL, "zebulon", _QUIZ, PASSWORD, *secrets):
        assert secret not in written, secret
    requests = [entry for entry in map(json.loads, lines) if entry["message"] == "request"]
    assert len(requests) >= 8
    assert {entry["request_id"] for entry in requests if entry["route"] == "/breaks"} == {"broken-1"}
    assert {entry["trace_id"] for entry in requests if entry["route"] == "/breaks"} == {_TRACE}
    assert any(entry["message"] == "unforeseen_error" and entry["exception"] for entry in map(json.loads, lines))


async def _flow(client: httpx2.AsyncClient) -> list[str]:
    """Register, log in rightly and wrongly, ask by name and address, break; the tokens that were in it."""
    wish = {"name": _NAME, "email": _EMAIL, "password": PASSWORD, "role": "admin", "school_name": f"{_NAME} School"}
    await client.post("/auth/register", json=wish)
    await client.post("/auth/register", json=wish)
    admin = await login(client, _EMAIL)
    await client.post("/auth/login", json={"email": _EMAIL, "password": "x" + PASSWORD})
    await client.post("/auth/refresh", json={"refresh_token": admin.tokens["refresh_token"] + "x"})
    await admin.get(f"/api/v1/users?email={_EMAIL}")
    await admin.post("/api/v1/quizzes", {"title": _QUIZ})
    await admin.get(f"/api/v1/{_QUIZ}/{_NAME}")
    query = {"measures": ["responses.count"], "filters": [{"member": "students.name", "operator": "equals"}]}
    await admin.post("/cubejs-api/v1/load", {"query": query | {"values": [_NAME]}})
    headers = {"X-Request-ID": "broken-1", "traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01"}
    broken = await client.get("/breaks", headers=headers)
    assert broken.status_code == 500
    return [admin.tokens["access_token"], admin.tokens["refresh_token"], admin.tokens["access_token"].split(".")[2]]


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_line_can_be_forged(
    postgres: Postgres, warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    make_stores(postgres, warehouse, tmp_path, log_level="debug", log_format=form)
    capsys.readouterr()
    log.info("said", reason="one\r\nlevel=error forged\u2028two\x0bthree\x85four", who=RefusedByStore("a\nforged b"))
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_what_libraries_log_has_the_same_form_and_is_scrubbed_too() -> None:
    script = (
        "import logging; from core.settings import Settings; from core.telemetry import configure_logging;"
        "configure_logging(Settings()); logging.getLogger('psycopg').error('(%s)\\nexists', 'z@example.org')"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (line,) = found.stderr.strip().splitlines()
    assert json.loads(line)["message"] == "([e-mail]) exists"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("user zebulon.q@example.org is here", "user [e-mail] is here"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [token]"),
        ("token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln", "token [token]"),
        ("duplicate key\nDETAIL:  Key (name)=(Zebulon) already exists.", "duplicate key\n[values]"),
        ("input_value='Zebulon', input_type=str", "input_value=[value], input_type=str"),
        ("cannot reach valkey://user:secret@host:6379/0", "cannot reach valkey://[secret]@host:6379/0"),
        ("GET /api/v1/users/{user_id} in 3.5 ms", "GET /api/v1/users/{user_id} in 3.5 ms"),
        ("quizzes@7", "quizzes@7"),
    ],
)
def test_a_text_is_scrubbed(text: str, kept: str) -> None:
    assert scrub(text) == kept
