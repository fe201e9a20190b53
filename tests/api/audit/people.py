"""A school's people put straight into the record (no password is hashed), and lines of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2

from api.auth.tokens import Tokens
from api.principal import Principal
from core.postgres import Postgres
from tests.api.conftest import SECRET, Person, data
from tests.ingestion.rows import make_school, months


@dataclass
class Small:
    """One school: an admin, a teacher with a class of two, and an operator beside it; `ids` are the record's."""

    admin: Person
    teacher: Person
    ann: Person
    ben: Person
    operator: Person
    ids: dict[str, int]


def person(client: httpx2.AsyncClient, role: str, user_id: int, school_id: int | None) -> Person:
    """Somebody with a token."""
    token = Tokens(SECRET, timedelta(minutes=5)).issue(Principal(role, user_id, school_id))
    return Person(client, user_id, school_id or 0, "", {"access_token": token})


async def add_user(postgres: Postgres, role: str, school_id: int | None) -> int:
    """A new account."""
    row = await postgres.fetch_one(
        "insert into users (school_id, role, name) values (%s, %s, %s) returning id", [school_id, role, f"a {role}"]
    )
    assert row is not None
    return int(row["id"])


async def make_small(client: httpx2.AsyncClient, postgres: Postgres, name: str = "Hill School") -> Small:
    """A school."""
    ids = await make_school(postgres, name)
    await months(postgres)
    school = ids["school"]
    admin, operator = await add_user(postgres, "admin", school), await add_user(postgres, "operator", None)
    return Small(
        person(client, "admin", admin, school),
        person(client, "teacher", ids["teacher"], school),
        person(client, "student", ids["ann"], school),
        person(client, "student", ids["ben"], school),
        person(client, "operator", operator, None),
        ids,
    )


async def lines(reader: Person, **wanted: Any) -> list[dict[str, Any]]:
    """The log as somebody may read it, the newest first."""
    found: list[dict[str, Any]] = data(await reader.get("/api/v1/audit", params=wanted))["items"]
    return found
