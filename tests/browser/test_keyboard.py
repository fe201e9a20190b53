"""Everything can be done without a mouse, and is said to whoever does not see it."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.api.conftest import PASSWORD
from tests.browser.conftest import Classroom

_MOST_TABS = 40


async def _go(page: Page, name: str, *keys: str) -> None:
    """Tab to the control of this name, then press the keys."""
    for _ in range(_MOST_TABS):
        await page.keyboard.press("Tab")
        if await page.evaluate("name => document.activeElement?.textContent.trim() === name", name):
            break
    else:
        raise AssertionError(f"no way to «{name}» by keyboard")
    for key in keys or ("Enter",):
        await page.keyboard.press(key)


async def _log_in(page: Page, email: str) -> None:
    await expect(page.locator("#log-in")).to_be_visible()
    await page.keyboard.press("Tab")  # the language
    await page.keyboard.press("Tab")
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")


async def test_a_quiz_by_keyboard_alone(classroom: Classroom) -> None:
    async with classroom.page() as teacher, classroom.page() as zoe:
        await teacher.goto(f"{classroom.wires[2].url}/live/host")
        await _log_in(teacher, classroom.teacher.email)
        await expect(teacher.locator("#setup [name=classroom]")).to_be_focused()
        await _go(teacher, "Open the room")
        await expect(teacher.locator("#invite h2")).to_be_focused()
        code = await teacher.locator("#code").inner_text()

        await zoe.goto(f"{classroom.wires[0].url}/live/join")
        await _log_in(zoe, classroom.pupils[0].email)
        await expect(zoe.locator("#enter [name=code]")).to_be_focused()
        await zoe.keyboard.type(code.lower())
        await zoe.keyboard.press("Enter")
        await expect(zoe.locator("#wait-heading")).to_be_focused()
        await expect(zoe.locator("#spoken")).to_contain_text("not begun")

        await _go(teacher, "Begin")
        await expect(teacher.locator("#command-next")).to_be_focused()
        await teacher.keyboard.press("Enter")
        await expect(teacher.locator("#told")).to_have_text("The question is open.")
        await expect(teacher.locator("#command-lock")).to_be_focused()
        await expect(zoe.locator("#question")).to_be_focused()
        await _go(zoe, "B3/4", "Space")
        await expect(zoe.locator("#state")).to_have_text("Your answer has arrived.")
        await expect(zoe.locator("#answer [data-key=B]")).to_be_focused()
        await expect(zoe.locator("#answer [data-key=B]")).to_have_attribute("aria-pressed", "true")
        await zoe.keyboard.press("Tab")
        await zoe.keyboard.press("Enter")  # too late to choose another
        await expect(zoe.locator("#answer [data-key=B]")).to_have_attribute("aria-pressed", "true")

        await teacher.keyboard.press("Enter")
        await expect(teacher.locator("#command-reveal")).to_be_focused()
        await teacher.keyboard.press("Enter")
        await expect(zoe.locator("#spoken")).to_contain_text("Right!")
        await _go(teacher, "End the quiz")
        await expect(teacher.locator("#sure")).to_be_visible()
        await teacher.keyboard.press("Escape")
        await expect(teacher.locator("#sure")).to_be_hidden()
        await expect(teacher.locator("#command-end")).to_be_focused()
        await teacher.keyboard.press("Enter")
        await teacher.keyboard.press("Enter")
        await expect(zoe.locator("[data-screen=end] h2")).to_be_focused()
