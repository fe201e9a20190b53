"""The whole application over real stores, and people to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.datastructures import State

import api.app
from api.app import create_app, started
from api.auth.tokens import Tokens
from api.principal import Principal
from core.embedded import DataFolder, Stores
from core.postgres import Postgres
from core.settings import Settings
from core.telemetry import configure_logging
from core.warehouse import Warehouse

T = TypeVar("T")
PASSWORD = "correct horse battery"
SECRET = b"a secret for tests, 32 bytes long"
_LIMITS = ("limit_normal", "limit_query", "limit_reports", "limit_events", "limit_address")
_NO_LIMITS = dict.fromkeys(_LIMITS, 1_000_000)
"""A test calls more often than a person; the limits have tests of their own (tests/api/limits)."""
_numbers = count(1)


@dataclass
class Person:
    """Somebody who is logged in."""

    client: httpx2.AsyncClient
    id: int
    school_id: int
    email: str
    tokens: dict[str, Any] = field(default_factory=dict)

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request with this person's token."""
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}", **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        """GET with this person's token."""
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """POST with this person's token."""
        return await self.call("POST", path, json=body, **options)

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        """POST that must create something; its data."""
        made: dict[str, Any] = data(await self.post(f"/api/v1/{path}", body), 201)
        return made


def data(response: httpx2.Response, status: int = 200) -> Any:
    """What a good answer carries."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["success"] is True
    return body["data"]


def fault(response: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error of a refused request, in the one shape that all errors have."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert set(body) == {"success", "message", "data", "error"}
    assert body["success"] is False
    assert body["data"] is None
    assert body["message"]
    if code is not None:
        assert body["error"]["code"] == code
    return body


def make_stores(postgres: Postgres, warehouse: Warehouse, folder: Path, **chosen: Any) -> Stores:
    """Open stores for `create_app`."""
    usual = {"loader_poll_ms": 50, "log_level": "error", "open_registration": True}
    settings = Settings(data_dir=folder, **{**usual, **_NO_LIMITS, **chosen})
    configure_logging(settings)
    return Stores(settings, postgres, warehouse, SECRET, DataFolder(folder))


@pytest.fixture
def stores(postgres: Postgres, warehouse: Warehouse, tmp_path: Path) -> Stores:
    """Fresh stores."""
    return make_stores(postgres, warehouse, tmp_path)


def once(load: Callable[[Path], T]) -> Callable[[Path], T]:
    """The same, reading a folder again only when a file of it has changed."""
    known: dict[Hashable, T] = {}

    def cached(folder: Path) -> T:
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        key = str(folder), *((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        if key not in known:
            known[key] = load(folder)
        return known[key]

    return cached


@pytest.fixture(scope="session", autouse=True)
def models_are_read_once() -> None:
    """Every started application reads the same models and reports, which takes longer than most tests."""
    for name in ("load_catalog", "load_reports"):
        setattr(api.app, name, once(getattr(api.app, name)))


_built: dict[str, tuple[FastAPI, Stores]] = {}


def application_over(stores: Stores) -> FastAPI:
    """The application over these stores, not started. Its routes are made once for each choice of settings, for that
    takes as long as a test; so one test has one of a kind at a time."""
    chosen = stores.settings.model_dump(exclude={"data_dir"})
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in chosen.items()
    }
    key = repr(sorted(plain.items()))
    if key not in _built:
        own = replace(stores)
        _built[key] = create_app(stores=own), own
    app, own = _built[key]
    vars(own).update(vars(stores))
    app.state = State()
    return app


@pytest.fixture
async def application(stores: Stores) -> AsyncIterator[FastAPI]:
    """The application, started."""
    async with started(application_over(stores)) as app:
        yield app


@pytest.fixture
async def client(application: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Nobody in particular."""
    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as caller:
        yield caller


async def login(client: httpx2.AsyncClient, email: str) -> Person:
    """Log in with the password that all have."""
    answer = data(await client.post("/auth/login", json={"email": email, "password": PASSWORD}))
    user = answer.pop("user")
    return Person(client, user["id"], user["school_id"], email, answer)


async def register(client: httpx2.AsyncClient, role: str, **place: Any) -> Person:
    """Make an account and log in."""
    number = next(_numbers)
    body = {"name": f"{role} {number}", "email": f"{role}{number}@example.org", "password": PASSWORD, "role": role}
    data(await client.post("/auth/register", json=body | place), 201)
    return await login(client, str(body["email"]))


async def member(admin: Person, role: str) -> Person:
    """An account of the admin's school, with a token but without a password (hashing takes its time)."""
    row = await admin.make("users", name=f"{role} {next(_numbers)}", role=role)
    principal = Principal(role=role, user_id=row["id"], school_id=row["school_id"])
    token = Tokens(SECRET, timedelta(minutes=5)).issue(principal)
    return Person(admin.client, row["id"], row["school_id"], "", {"access_token": token})


@dataclass
class School:
    """Two classes of one school: each has a teacher, a student and a quiz."""

    admin: Person
    teacher: Person
    other_teacher: Person
    student: Person
    other_student: Person
    classroom: dict[str, Any]
    other_classroom: dict[str, Any]
    quiz: dict[str, Any]
    other_quiz: dict[str, Any]


QUESTIONS: list[dict[str, Any]] = [
    {"title": "1/2 + 1/4 = ?", "options": ["1/6", "3/4", "2/6"], "answer_key": "B", "skills": ["fractions"]},
    {"title": "Is 1/3 less than 0.3?", "qtype": "true_false", "answer_key": False},
    {"title": "0.25 as a fraction", "qtype": "free_text", "answer_key": "1/4"},
]


async def make_school(client: httpx2.AsyncClient, name: str = "Hilltop") -> School:
    """A school with two classes."""
    admin = await register(client, "admin", school_name=name)
    people, rooms, quizzes = [], [], []
    for letter in "AB":
        teacher, student = await member(admin, "teacher"), await member(admin, "student")
        room = await admin.make("classrooms", name=f"Class {letter}", teacher_id=teacher.id)
        await admin.make("enrolments", classroom_id=room["id"], user_id=student.id)
        quiz = await teacher.make("quizzes", title=f"Quiz {letter}", classroom_id=room["id"], questions=QUESTIONS)
        people.append((teacher, student))
        rooms.append(room)
        quizzes.append(quiz)
    (teacher, student), (other_teacher, other_student) = people
    return School(admin, teacher, other_teacher, student, other_student, *rooms, *quizzes)


@pytest.fixture
async def school(client: httpx2.AsyncClient) -> School:
    """A school with two classes."""
    return await make_school(client)
