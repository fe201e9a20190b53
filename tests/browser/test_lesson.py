"""A whole lesson: a teacher and two pupils, led, cut off, alone, and by keyboard."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Page, expect

from core.postgres import Postgres
from tests.browser.conftest import NAMES, Classroom

PHONE = {"width": 320, "height": 568}


async def _press(page: Page, name: str) -> None:
    await page.locator(f"#command-{name}").click()


async def _seconds(page: Page) -> int:
    clock = page.locator("#clock-text")
    await expect(clock).to_have_text(re.compile(r"\d+:\d\d"))
    minutes, seconds = re.findall(r"\d+", await clock.inner_text())
    return int(minutes) * 60 + int(seconds)


async def _ask(teacher: Page, number: int) -> None:
    await teacher.locator("#questions li").nth(number - 1).get_by_role("button").click()


async def test_a_teacher_leads_a_quiz_and_two_pupils_play_it(classroom: Classroom) -> None:
    async with classroom.page() as teacher, classroom.page(**PHONE) as zoe, classroom.page(**PHONE, dark=True) as yael:
        await teacher.goto(f"{classroom.wires[2].url}/live/host")
        await expect(teacher.locator("#log-in")).to_be_visible()
        await classroom.faultless(teacher)
        await classroom.lead(teacher)
        await classroom.faultless(teacher)
        code = await classroom.open(teacher, seconds=90)
        await classroom.join(zoe, 0, code)
        await classroom.join(yael, 1, code)
        await expect(teacher.locator("#here li")).to_have_count(2)
        assert set(NAMES) == {await row.locator("bdi").inner_text() for row in await teacher.locator("#here li").all()}
        await expect(zoe.locator("#wait-heading bdi")).to_have_text(NAMES[0])
        await classroom.faultless(teacher, zoe, yael)

        await _press(teacher, "start")
        await _press(teacher, "next")
        await expect(zoe.locator("#question")).to_have_text("1/2 + 1/4 = ?")
        await classroom.faultless(teacher, zoe)
        await zoe.get_by_role("button", name="3/4").click()
        await expect(zoe.locator("#state")).to_have_text("Your answer has arrived.")
        await expect(teacher.locator("#count")).to_contain_text("1")
        await zoe.reload()
        await expect(zoe.get_by_role("button", name="3/4")).to_have_attribute("aria-pressed", "true")
        await expect(zoe.get_by_role("button", name="1/6")).to_have_attribute("aria-disabled", "true")
        await teacher.locator("#insight summary").click()
        await expect(teacher.locator("#waiting")).to_have_text(NAMES[1])
        await yael.get_by_role("button", name="1/6").click()
        await expect(teacher.locator("#top-wrong")).to_contain_text("1/6")
        await expect(teacher.locator("#waiting")).to_have_text("nobody")

        await _press(teacher, "pause")
        await expect(yael.locator("#clock-text")).to_contain_text("stands")
        await expect(yael.locator("#state")).to_have_text("The teacher has stopped the clock.")
        await _press(teacher, "resume")
        before = await _seconds(teacher)
        await _press(teacher, "extend")
        await expect(teacher.locator("#clock-text")).not_to_contain_text("stands")
        await asyncio.sleep(0.5)
        assert 12 <= await _seconds(teacher) - before <= 16
        await _press(teacher, "lock")
        await expect(zoe.locator("#state")).to_contain_text("No more answers")
        await expect(zoe.locator("#solution")).to_be_hidden()
        await _press(teacher, "reveal")
        await expect(zoe.locator("#verdict")).to_contain_text("Right!")
        await expect(yael.locator("#verdict")).to_contain_text("Not right.")
        await expect(yael.locator("#verdict")).to_contain_text("3/4")
        await expect(yael.locator("#leaderboard tbody tr")).to_have_count(2)
        await expect(yael.locator("#leaderboard tbody tr").first.locator("bdi")).to_have_text(NAMES[0])
        await expect(teacher.locator("#spread .key")).to_contain_text("3/4")
        await classroom.faultless(teacher, zoe, yael)

        await _ask(teacher, 4)
        await yael.get_by_label("2", exact=True).check()
        await yael.get_by_label("5", exact=True).check()
        await yael.get_by_role("button", name="Send answer").click()
        await expect(yael.locator("#state")).to_have_text("Your answer has arrived.")
        await _press(teacher, "restart")
        await expect(yael.locator("#state")).to_have_text("")
        await classroom.faultless(yael)
        await _press(teacher, "skip")
        await expect(yael.locator("#wait-text")).to_contain_text("next question")

        await teacher.get_by_role("button", name=f"Send out: \u2068{NAMES[1]}\u2069").click()
        await teacher.get_by_role("button", name="Yes").click()
        await expect(yael.locator("#away-heading")).to_have_text("Your teacher has sent you out of this quiz.")
        await teacher.locator("#kicked button").click()
        await expect(teacher.locator("#out")).to_be_hidden()
        await yael.locator("#again").click()
        await expect(yael.locator("#wait-text")).to_contain_text("next question")

        await _press(teacher, "end")
        await teacher.get_by_role("button", name="Yes").click()
        await expect(zoe.locator("[data-screen=end] h2")).to_have_text("The quiz is over")
        await expect(zoe.locator("#end-text")).to_contain_text("Place 1.")
        await expect(teacher.locator("#after")).to_be_visible()
        await asyncio.sleep(1)
        await teacher.locator("#report-open").click()
        row = teacher.locator("#report tbody tr").filter(has_text="1/2 + 1/4 = ?")
        await expect(row).to_contain_text("50%")
        await expect(row).to_contain_text("1/6")
        await classroom.faultless(teacher, zoe)


async def test_a_pupil_who_is_cut_off_comes_back_to_the_same_question_with_the_time_that_is_left(
    classroom: Classroom, postgres: Postgres
) -> None:
    async with classroom.page() as teacher, classroom.page(**PHONE) as zoe:
        await zoe.clock.install(time="2020-02-29T12:00:00Z")  # her phone's clock is wrong by years
        await classroom.lead(teacher)
        code = await classroom.open(teacher, seconds=60, changes=True)
        await classroom.join(zoe, 0, code)
        await _press(teacher, "start")
        await _ask(teacher, 3)
        await zoe.get_by_label("Your number").fill("41")
        classroom.wires[0].cut()
        await expect(zoe.locator("#connection")).to_contain_text("The connection is lost.")
        await zoe.get_by_role("button", name="Send answer").click()
        await expect(zoe.locator("#state")).to_contain_text("as soon as the connection is back")
        await asyncio.sleep(1)
        classroom.wires[0].mend()
        await expect(zoe.locator("#connection")).to_be_hidden()
        await expect(zoe.locator("#state")).to_contain_text("You may change it")
        assert await zoe.locator("#question").inner_text() == "6 × 7 = ?"
        assert abs(await _seconds(zoe) - await _seconds(teacher)) <= 1

        await zoe.reload()
        await expect(zoe.locator("#question")).to_have_text("6 × 7 = ?")
        assert abs(await _seconds(zoe) - await _seconds(teacher)) <= 1
        await expect(zoe.get_by_label("Your number")).to_have_value("41")
        await zoe.get_by_label("Your number").fill("42")
        await zoe.get_by_role("button", name="Send answer").click()
        await expect(zoe.locator("#state")).to_contain_text("You may change it")

        await teacher.reload()
        await expect(teacher.locator("#question")).to_have_text("6 × 7 = ?")
        await expect(teacher.locator("#code")).to_have_text(code)
        await _press(teacher, "lock")
        await _press(teacher, "reveal")
        await expect(zoe.locator("#verdict")).to_contain_text("Right!")
    kept = await postgres.fetch("select choice from responses")
    assert [row["choice"] for row in kept] == ["42"]


async def test_pupils_move_on_alone_in_german_and_in_english(classroom: Classroom) -> None:
    german = {"language": "de", **PHONE}
    async with classroom.page(**german) as teacher, classroom.page(**german) as zoe, classroom.page() as yael:
        await classroom.lead(teacher)
        code = await classroom.open(teacher, mode="self_paced", teams=2)
        await classroom.join(zoe, 0, code)
        await classroom.join(yael, 1, code)
        await expect(zoe.locator("#wait-team")).to_contain_text(re.compile("Du spielst in Team [12]"))
        await expect(teacher.locator("#here li").filter(has_text="Team 1")).to_have_count(1)
        await _press(teacher, "start")
        await zoe.get_by_role("button", name="3/4").click()
        await expect(zoe.get_by_role("button", name="Wahr")).to_be_visible()
        assert await zoe.evaluate("document.documentElement.lang") == "de"
        await yael.get_by_role("button", name="1/6").click()
        await expect(yael.get_by_role("button", name="True")).to_be_visible()
        await zoe.locator("#answer .option").last.click()
        await zoe.locator("#answer [name=answer]").fill("42")
        await zoe.locator("#answer button").click()
        await zoe.locator("#answer [type=checkbox]").first.check()
        await zoe.locator("#answer button.main").click()
        await expect(zoe.locator("#question")).to_have_text("0.25 as a fraction")
        await zoe.locator("#answer [name=answer]").fill("1/4")
        await zoe.keyboard.press("Enter")
        await expect(zoe.locator("#wait-text")).to_contain_text("mit allen Fragen fertig")
        await expect(teacher.locator("#here li").filter(has_text="5/5")).to_have_count(1)
        await classroom.faultless(teacher, zoe)
        await _press(teacher, "end")
        await teacher.locator("#sure button.main").click()
        await expect(zoe.locator("#leaderboard .people tbody tr")).to_have_count(2)
        await expect(zoe.locator("#leaderboard .teams tbody tr")).to_have_count(2)
        await expect(teacher.locator("#after")).to_be_visible()
        await classroom.faultless(teacher, zoe)


async def test_the_language_changes_without_losing_anything(classroom: Classroom) -> None:
    async with classroom.page() as teacher, classroom.page() as zoe:
        await classroom.lead(teacher)
        code = await classroom.open(teacher)
        await classroom.join(zoe, 0, code)
        await _press(teacher, "start")
        await _ask(teacher, 5)
        await zoe.get_by_label("Your answer", exact=True).fill("1/4")
        await zoe.locator("#language").select_option("de")
        await teacher.locator("#language").select_option("de")
        await expect(zoe.get_by_role("button", name="Antwort senden")).to_be_visible()
        await expect(zoe.locator("#answer [name=answer]")).to_have_value("1/4")
        await expect(teacher.locator("#command-lock")).to_have_text("Keine Antworten mehr")
        await zoe.reload()
        await expect(zoe.get_by_role("button", name="Antwort senden")).to_be_visible()
