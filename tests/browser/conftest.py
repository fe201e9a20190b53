"""A school behind a real server, a browser, and its people at their pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, Page, expect

from api.auth.passwords import Passwords
from core.embedded import Stores
from core.postgres import Postgres
from core.warehouse import Warehouse
from tests.api.conftest import PASSWORD, Person, application, client, make_stores, member, register
from tests.browser.chromium import PATIENCE_MS, browsing, complaints, executable, running_chromium, somebody
from tests.browser.wire import Wire
from tests.npm.conftest import npm_folder
from tests.realtime.nodes import served

__all__ = ["application", "client", "npm_folder"]
expect.set_options(timeout=PATIENCE_MS)
NAMES = ("Zoë <b>Ünal</b>", "יעל לוי")
"""One looks like markup, one is written from right to left."""
QUESTIONS: list[dict[str, Any]] = [
    {"title": "1/2 + 1/4 = ?", "options": ["1/6", "3/4", "2/6"], "answer_key": "B"},
    {"title": "Is 1/3 less than 0.3?", "qtype": "true_false", "answer_key": False},
    {"title": "6 × 7 = ?", "qtype": "numeric", "answer_key": 42},
    {"title": "Which are prime?", "options": ["2", "4", "5"], "answer_key": ["A", "C"]},
    {"title": "0.25 as a fraction", "qtype": "free_text", "answer_key": "1/4"},
]


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running browser."""
    program = executable()
    if program is None:
        pytest.skip("needs Chromium: sh deploy/install-chromium.sh")
    with running_chromium(program, tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
async def browser(door: str) -> AsyncIterator[Browser]:
    """A connection to the browser."""
    async with browsing(door) as found:
        yield found


@pytest.fixture(scope="session")
def axe(npm_folder: Path) -> str:
    """axe-core's text."""
    return (npm_folder / "node_modules/axe-core/axe.min.js").read_text()


@dataclass
class Classroom:
    """A class with its teacher, two pupils and a quiz, and the wires to its server."""

    browser: Browser
    axe: str
    wires: tuple[Wire, Wire, Wire]
    teacher: Person
    pupils: tuple[Person, Person]
    room: dict[str, Any]
    quiz: dict[str, Any]

    def page(self, **options: Any) -> AbstractAsyncContextManager[Page]:
        """Somebody's browser."""
        return somebody(self.browser, **options)

    async def log_in(self, page: Page, person: Person) -> None:
        """Fill in the log-in form."""
        await page.locator("#log-in [name=email]").fill(person.email)
        await page.locator("#log-in [name=password]").fill(PASSWORD)
        await page.locator("#log-in button.main").click()

    async def lead(self, page: Page) -> None:
        """The teacher's page with its form for a new room."""
        await page.goto(f"{self.wires[2].url}/live/host")
        await self.log_in(page, self.teacher)

    async def open(self, page: Page, **chosen: Any) -> str:
        """Open a room as the form says; its code."""
        await expect(page.locator("#setup [name=quiz] option")).to_have_count(1)
        for name, value in chosen.items():
            field = page.locator(f"#setup [name={name}]")
            if isinstance(value, bool):
                await field.set_checked(value)
            elif name == "mode":
                await page.locator(f"#setup [name=mode][value={value}]").check()
            else:
                await field.fill(str(value))
        await page.locator("#setup button.main").click()
        await expect(page.locator("#commands")).to_be_visible()
        return await page.locator("#code").inner_text()

    async def join(self, page: Page, number: int, code: str) -> None:
        """A pupil comes by the link of the QR code."""
        await page.goto(f"{self.wires[number].url}/live/join#code={code}")
        await self.log_in(page, self.pupils[number])
        await expect(page.locator("#wait-heading, #question").locator("visible=true")).to_be_visible()

    async def faultless(self, *pages: Page) -> None:
        """No page breaks a rule of accessibility, and none is wider than its screen."""
        for page in pages:
            assert await complaints(page, self.axe) == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def stores(postgres: Postgres, warehouse: Warehouse, tmp_path: Path) -> Stores:
    """Fresh stores; tokens last a minute, so that pages renew them every half."""
    return make_stores(postgres, warehouse, tmp_path, access_token_minutes=1)


@pytest.fixture(scope="session")
def password_hash() -> str:
    """The hash of the password that all have, made once: hashing takes its time."""
    return asyncio.run(Passwords().hash(PASSWORD))


async def _person(postgres: Postgres, admin: Person, role: str, name: str, password_hash: str) -> Person:
    person = await member(admin, role)
    person.email = f"{role}{person.id}@example.org"
    update = "update users set name = %s, email = %s, password_hash = %s where id = %s"
    async with postgres.transaction() as connection:
        await connection.execute(update, [name, person.email, password_hash, person.id])
    return person


@pytest.fixture
async def classroom(
    application: FastAPI, client: httpx2.AsyncClient, postgres: Postgres, browser: Browser, axe: str, password_hash: str
) -> AsyncIterator[Classroom]:
    """The class, its server running."""
    admin = await register(client, "admin", school_name="Hilltop")
    teacher = await _person(postgres, admin, "teacher", "Tess", password_hash)
    pupils = [await _person(postgres, admin, "student", name, password_hash) for name in NAMES]
    room = await admin.make("classrooms", name="Class 7a", teacher_id=teacher.id)
    for pupil in pupils:
        await admin.make("enrolments", classroom_id=room["id"], user_id=pupil.id)
    quiz = await teacher.make("quizzes", title="Numbers", classroom_id=room["id"], questions=QUESTIONS)
    async with AsyncExitStack() as stack:
        address = urlsplit(await stack.enter_async_context(served(application)))
        first, second, third = [await stack.enter_async_context(Wire(address.port or 0)) for _ in range(3)]
        yield Classroom(browser, axe, (first, second, third), teacher, (pupils[0], pupils[1]), room, quiz)
