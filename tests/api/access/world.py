"""Two schools with two classes each, everything in them named by a mark, and one caller of every kind.

school h: class a (teacher_own, student_self), class b (teacher_other, student_other); school o likewise. The target of
a row of the matrix is always class a of school h: its pupil, its teacher, its quiz, its school.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI

from api.auth.scopes import TokenScope
from api.auth.tokens import Tokens
from api.principal import Principal
from core.postgres import Postgres
from tests.api.conftest import PASSWORD, QUESTIONS, SECRET, Person, data, login

CALLERS = (
    "student_self",
    "student_other",
    "teacher_own",
    "teacher_other",
    "admin_own",
    "admin_other",
    "analyst_own",
    "analyst_other",
    "operator",
    "program",
)
SERVICE = "service"
"""A service token of the teacher of class a, with every scope but that of the route."""
STRANGERS = ("anonymous", "expired", "revoked", "forged", "disabled")
_PERSON = re.compile(r'"(?:student_id|user_id|students\.id)":"?(\d+)')
_NO_NAMES: frozenset[str] = frozenset()


@dataclass
class World:
    """Who calls, what is called, and which marks each caller may read."""

    client: httpx2.AsyncClient
    tokens: dict[str, str | None] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    visible: dict[str, frozenset[str]] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)

    async def call(
        self, caller: str, method: str, path: str, body: Any = None, scope: str = "closed"
    ) -> httpx2.Response:
        """One request as this caller; `scope` opens the route to service tokens."""
        token = self.services[scope] if caller == SERVICE else self.tokens[caller]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.client.request(method, path, json=body, headers=headers)

    def leaked(self, caller: str, text: str) -> list[str]:
        """The things whose marks stand in this text, or people whose ids do, although the caller may not see them."""
        allowed = self.visible.get(caller, _NO_NAMES)
        found = {thing for thing, mark in self.marks.items() if mark in text}
        ids = {int(number) for number in _PERSON.findall(text)}
        found |= {thing for thing, person in self.people.items() if person.id in ids}
        return sorted(found - allowed)

    def mark(self, thing: str) -> str:
        """A name that occurs nowhere else."""
        return self.marks.setdefault(thing, f"Mark{uuid4().hex[:12]}")


async def make_world(app: FastAPI, client: httpx2.AsyncClient, postgres: Postgres) -> World:
    """The two schools, their people, an answer of each pupil, and it is all in ClickHouse."""
    world = World(client)
    for school in "ho":
        await _make_school(world, school)
    await _make_callers(world, postgres)
    _note_what_each_may_see(world)
    await _loaded(app, 4)
    return world


async def _make_school(world: World, school: str) -> None:
    email = f"{world.mark(f'{school}.admin')}@example.org".lower()
    founder = {"name": world.mark(f"{school}.admin"), "email": email, "password": PASSWORD, "role": "admin"}
    data(await world.client.post("/auth/register", json=founder | {"school_name": world.mark(f"{school}.school")}), 201)
    admin = world.people[f"{school}.admin"] = await login(world.client, email)
    # a token that no log-out of the matrix ends
    admin.tokens = {"access_token": _issue(Principal(role="admin", user_id=admin.id, school_id=admin.school_id))}
    for room in "ab":
        await _make_class(world, admin, school, room)
    if school == "h":
        world.target |= {"school": admin.school_id, "admin": admin.id}


async def _make_class(world: World, admin: Person, school: str, room: str) -> None:
    place = f"{school}.{room}"
    teacher = await _member(world, admin, f"{place}.teacher", "teacher")
    pupil = await _member(world, admin, f"{place}.student", "student")
    classroom = await admin.make("classrooms", name=world.mark(f"{place}.classroom"), teacher_id=teacher.id)
    enrolment = await admin.make("enrolments", classroom_id=classroom["id"], user_id=pupil.id)
    quiz = await teacher.make(
        "quizzes", title=world.mark(f"{place}.quiz"), classroom_id=classroom["id"], questions=QUESTIONS
    )
    answer = {"student_id": pupil.id, "question_id": quiz["questions"][0]["id"], "answer": "3/4", "time_spent": 3}
    data(await pupil.post("/api/v1/responses", answer), 201)
    if place == "h.a":
        world.target |= {
            "student": pupil.id,
            "teacher": teacher.id,
            "classroom": classroom["id"],
            "enrolment": enrolment["id"],
            "quiz": quiz["id"],
            "question": quiz["questions"][0]["id"],
        }


async def _member(world: World, admin: Person, thing: str, role: str) -> Person:
    row = await admin.make("users", name=world.mark(thing), role=role)
    token = _issue(Principal(role=role, user_id=row["id"], school_id=row["school_id"]))
    person = world.people[thing] = Person(admin.client, row["id"], row["school_id"], "", {"access_token": token})
    return person


async def _make_callers(world: World, postgres: Postgres) -> None:
    people, school = world.people, world.target["school"]
    named = {
        "student_self": "h.a.student",
        "student_other": "h.b.student",
        "teacher_own": "h.a.teacher",
        "teacher_other": "h.b.teacher",
        "admin_own": "h.admin",
        "admin_other": "o.admin",
    }
    world.tokens = {caller: people[thing].tokens["access_token"] for caller, thing in named.items()}
    other = people["o.admin"].school_id
    world.target |= {"analyst": (await _analyst(postgres, school)).user_id, "other_school": other}
    world.tokens |= {
        "analyst_own": _issue(await _analyst(postgres, school)),
        "analyst_other": _issue(await _analyst(postgres, other)),
        "operator": _issue(Principal(role="operator", subject="matrix")),
        "program": _issue(Principal(role="teacher", subject="a script without rights", school_id=school)),
    }
    await _make_service_tokens(world)
    pupil = Principal(role="student", user_id=world.target["student"], school_id=school)
    world.tokens |= {
        "anonymous": None,
        "expired": Tokens(SECRET, timedelta(minutes=-1)).issue(pupil),
        "forged": Tokens(b"another secret of 32 bytes, too.", timedelta(minutes=5)).issue(pupil),
        "revoked": await _logged_out(world),
        "disabled": await _disabled(world),
    }


async def _make_service_tokens(world: World) -> None:
    teacher, scopes = world.people["h.a.teacher"], [str(scope) for scope in TokenScope]
    for left_out in ("closed", *scopes):
        wish = {"name": left_out, "scopes": [scope for scope in scopes if scope != left_out]}
        world.services[left_out] = (await teacher.make("auth/service-tokens", **wish))["token"]
    world.tokens[SERVICE] = world.services["closed"]


async def _analyst(postgres: Postgres, school: int) -> Principal:
    """Somebody to whom the school was granted, and it shares what it has."""
    async with postgres.transaction() as connection:
        cursor = await connection.execute("insert into users (role, name) values ('analyst', 'Analyst') returning id")
        (row,) = await cursor.fetchall()
        await connection.execute(
            "insert into analyst_schools (user_id, school_id) values (%(u)s, %(s)s)", {"u": row["id"], "s": school}
        )
        await connection.execute("update schools set share_with_network = true where id = %(s)s", {"s": school})
    return Principal(role="analyst", user_id=row["id"])


async def _logged_out(world: World) -> str:
    person = await login(world.client, world.people["h.admin"].email)
    data(await person.post("/api/v1/auth/logout"))
    return str(person.tokens["access_token"])


async def _disabled(world: World) -> str:
    """The token of an admin whose account was closed after it was issued."""
    admin = world.people["h.admin"]
    person = await _member(world, admin, "h.disabled", "admin")
    data(await admin.call("PATCH", f"/api/v1/users/{person.id}", json={"disabled": True}))
    return str(person.tokens["access_token"])


def _note_what_each_may_see(world: World) -> None:
    def things(*beginnings: str) -> frozenset[str]:
        return frozenset(thing for thing in world.marks if thing.startswith(beginnings))

    def own(room: str) -> frozenset[str]:
        return things(f"h.{room}.") | {"h.school"}

    everything = frozenset(world.marks)
    quizzes = frozenset({"h.a.quiz", "h.b.quiz"})  # the teachers of a school share the titles of its quizzes
    world.visible = {
        "student_self": own("a") - {"h.a.teacher"},
        "student_other": own("b") - {"h.b.teacher"},
        "teacher_own": own("a") | quizzes,
        "teacher_other": own("b") | quizzes,
        "admin_own": things("h."),
        "admin_other": things("o."),
        "analyst_own": frozenset({"h.school", "h.a.classroom", "h.b.classroom", "h.a.quiz", "h.b.quiz"}),
        "analyst_other": frozenset({"o.school", "o.a.classroom", "o.b.classroom", "o.a.quiz", "o.b.quiz"}),
        "operator": everything,
        "program": quizzes | {"h.school"},
    }


def _issue(principal: Principal) -> str:
    return Tokens(SECRET, timedelta(minutes=60)).issue(principal)


async def _loaded(app: FastAPI, answers: int) -> None:
    warehouse = app.state.services.warehouse
    async with asyncio.timeout(60):
        while True:
            found = (await warehouse.query("SELECT count() FROM responses")).result_rows
            if found[0][0] >= answers:
                return
            await asyncio.sleep(0.05)
