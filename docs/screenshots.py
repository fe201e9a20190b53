"""`python -m docs.screenshots`: the pictures in docs/images, taken of the pages as they are now.

A demo's district in a folder that is thrown away, its server, Chromium (deploy/install-chromium.sh), a teacher, a pupil
with a phone, and classmates who answer.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from api.cli.bots import Pace
from api.cli.client import read_settings
from api.cli.server import Server, serving
from api.cli.showcase import demo_password, seed
from api.cli.stage import set_stage
from core.settings import Settings
from ingestion.importers.district import District
from realtime.client import LiveClient
from tests.browser.chromium import browsing, executable, running_chromium, somebody

IMAGES = Path(__file__).parent / "images"
_DISTRICT = District(schools=1, classrooms_per_school=2, students_per_classroom=16, days=14)


async def main() -> None:
    """Take them all."""
    program = executable()
    if program is None:
        raise SystemExit("Chromium is needed: sh deploy/install-chromium.sh")
    with tempfile.TemporaryDirectory(prefix="edu-pictures-") as folder:
        settings = read_settings(Path(folder) / "data", port=0, log_level="warning", log_format="console")
        async with serving(settings) as server:
            with running_chromium(program, Path(folder) / "chromium") as door:
                async with browsing(door) as browser:
                    await _lesson(server, settings, browser)


async def _lesson(server: Server, settings: Settings, browser: Browser) -> None:
    services, password = server.application.state.services, demo_password(settings)
    await seed(services, _DISTRICT, password)
    stage = await set_stage(services, settings, server.url, "teacher@example.org", Pace(question=60))
    if stage is None:
        raise SystemExit("The demo's district has no teacher or no quiz.")
    async with AsyncExitStack() as stack:
        classmates = [
            await stack.enter_async_context(LiveClient(stage.url, token, join_code=stage.join_code))
            for token in stage.pupils[:7]
        ]
        teacher = await stack.enter_async_context(somebody(browser, width=1000, height=860))
        pupil = await stack.enter_async_context(somebody(browser, width=390, height=700))
        await _come(teacher, f"{server.url}/live/host#session={stage.session_id}&code={stage.join_code}", password)
        await _come(pupil, f"{server.url}/live/join#code={stage.join_code}", password)
        await expect(teacher.locator("#here li")).to_have_count(len(classmates) + 1)
        await _take(teacher, "live-host-lobby")
        await _question(teacher, pupil, classmates)


async def _question(teacher: Page, pupil: Page, classmates: list[LiveClient]) -> None:
    await teacher.locator("#command-start").click()
    shown = asyncio.gather(*(_answer(each, number) for number, each in enumerate(classmates)))
    await teacher.locator("#command-next").click()
    await expect(pupil.locator("#question")).not_to_be_empty()
    await shown
    await expect(teacher.locator("#count")).to_contain_text(str(len(classmates)))
    await _take(teacher, "live-host-question")
    await _take(pupil, "live-join-question")
    await pupil.locator("#answer button").nth(1).click()
    await expect(pupil.locator("#state")).not_to_be_empty()
    await teacher.locator("#command-lock").click()
    await teacher.locator("#command-reveal").click()
    await expect(pupil.locator("#solution")).to_be_visible()
    await expect(pupil.locator("#leaderboard")).to_be_visible()
    await _take(pupil, "live-join-solution")


async def _answer(classmate: LiveClient, number: int) -> None:
    async for frame in classmate.frames():
        if frame["event"] == "question_displayed":
            options: list[dict[str, Any]] = frame["options"]
            await classmate.answer(frame["question_id"], options[number**2 % len(options)]["key"] if options else "1")
            return


async def _come(page: Page, address: str, password: str) -> None:
    await page.goto(address)
    email = "teacher@example.org" if "/live/host" in address else "student@example.org"
    await page.locator("#log-in [name=email]").fill(email)
    await page.locator("#log-in [name=password]").fill(password)
    await page.locator("#log-in button.main").click()
    await expect(page.locator("#commands, #wait-heading").locator("visible=true")).to_be_visible()


async def _take(page: Page, name: str) -> None:
    """A phone's page is shown whole, a teacher's as far as a projector shows it."""
    await page.evaluate("document.activeElement?.blur()")
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=IMAGES / f"{name}.png", full_page=name.startswith("live-join"))


if __name__ == "__main__":
    asyncio.run(main())
