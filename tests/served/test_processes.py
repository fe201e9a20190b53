"""The served shape: two API processes and two loaders over served stores behave as one installation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.served.conftest import Served, free_port

_PASSWORD = "correct horse battery"


class Process:
    """One of our commands as a process."""

    def __init__(self, served: Served, folder: Path, *arguments: str) -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": served.database_url,
            "CLICKHOUSE_URL": served.clickhouse_url,
            "VALKEY_URL": served.valkey_url,
            "EDU_SECRET_KEY": "k" * 40,
            "EDU_DATA_DIR": str(folder),
            "EDU_LOG_LEVEL": "warning",
            "EDU_OPEN_REGISTRATION": "true",
        }
        self.inner = subprocess.Popen([sys.executable, "-m", "api.cli", *arguments], env=environment)

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self.inner.poll() is None:
            self.inner.send_signal(how)
        return self.inner.wait(30)


class Installation:
    """Two servers, two loaders."""

    def __init__(self, served: Served, folder: Path) -> None:
        ports = [free_port(), free_port()]
        self.servers = [
            Process(served, folder / f"api{number}", "serve", "--port", str(port)) for number, port in enumerate(ports)
        ]
        self.loaders = [Process(served, folder / f"load{number}", "load") for number in range(2)]
        self.doors = [httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) for port in ports]

    def wait(self) -> None:
        """Until both servers answer."""
        for door in self.doors:
            _until(lambda door=door: _ready(door), 150)

    def close(self) -> None:
        """End every process and connection."""
        for door in self.doors:
            door.close()
        for process in [*self.servers, *self.loaders]:
            process.end()


def _ready(door: httpx2.Client) -> bool:
    try:
        return door.get("/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


def _until(done: Any, seconds: float) -> float:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def installation(served: Served, tmp_path: Path) -> Iterator[Installation]:
    """A running installation."""
    running = Installation(served, tmp_path)
    try:
        running.wait()
        yield running
    finally:
        running.close()


def _data(response: httpx2.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()["data"]


def _login(door: httpx2.Client, email: str, **registration: Any) -> dict[str, str]:
    if registration:
        body = {"name": "Zoë Ørsted", "email": email, "password": _PASSWORD, **registration}
        _data(door.post("/api/v1/auth/register", json=body))
    tokens = _data(door.post("/auth/login", json={"email": email, "password": _PASSWORD}))
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_two_servers_and_two_loaders_are_one_installation(installation: Installation) -> None:
    one, two = installation.doors
    admin = _login(one, "head@example.org", role="admin", school_name="Grüne Schule")
    school = _data(one.get("/api/v1/schools", headers=admin))["items"][0]["id"]
    student = _login(two, "pupil@example.org", role="student", school_id=school)
    me = next(u for u in _data(two.get("/api/v1/users", headers=admin))["items"] if u["role"] == "student")
    room = _data(one.post("/api/v1/classrooms", headers=admin, json={"name": "4b"}))
    _data(one.post("/api/v1/enrolments", headers=admin, json={"classroom_id": room["id"], "user_id": me["id"]}))
    quiz = _data(
        one.post(
            "/api/v1/quizzes",
            headers=admin,
            json={
                "title": "Brüche",
                "classroom_id": room["id"],
                "questions": [{"title": "½+¼?", "options": ["1/6", "3/4"], "answer_key": "B"}],
            },
        )
    )
    answer = {"student_id": me["id"], "question_id": quiz["questions"][0]["id"], "answer": "B", "client_id": "a1"}
    first = _data(two.post("/api/v1/responses", headers=student, json=answer))
    again = _data(one.post("/api/v1/responses", headers=student, json=answer))
    assert (first["id"], again["status"]) == (again["id"], "duplicate")

    query = {"measures": ["responses.count", "responses.correct_count"]}

    def counted(door: httpx2.Client, expected: str) -> bool:
        body = door.post("/cubejs-api/v1/load", headers=student, json={"query": query}).json()
        return bool(body.get("data") and body["data"][0]["responses.count"] == expected)

    for door in (one, two):
        _until(lambda door=door: counted(door, "1"), 10)

    installation.loaders[0].end(signal.SIGKILL)
    _data(one.post("/api/v1/responses", headers=student, json=answer | {"client_id": "a2"}))
    _until(lambda: counted(two, "2"), 20)

    one.post("/api/v1/auth/logout", headers=student)
    _until(lambda: two.get("/api/v1/quizzes", headers=student).status_code == 401, 6)

    assert installation.servers[0].end() == 0
    assert two.get("/health/ready").status_code == 200
