"""At the door: wrong passwords, wrong codes, other people's tabs."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import NAMES, Classroom


async def test_who_may_not_come_in_is_told_why(classroom: Classroom) -> None:
    async with classroom.page() as teacher, classroom.page() as zoe:
        await zoe.goto(f"{classroom.wires[0].url}/live/join")
        await zoe.locator("#log-in [name=email]").fill(classroom.pupils[0].email)
        await zoe.locator("#log-in [name=password]").fill("wrong")
        await zoe.locator("#log-in button.main").click()
        await expect(zoe.locator("#log-in-fault")).to_have_text("This name and password do not belong together.")
        await classroom.log_in(zoe, classroom.pupils[0])
        await zoe.locator("#enter [name=code]").fill("ABCDEFGH")
        await zoe.locator("#enter button.main").click()
        await expect(zoe.locator("#enter-fault")).to_have_text("There is no quiz with this code that you may enter.")
        await expect(zoe.locator("#enter [name=code]")).to_have_value("ABCDEFGH")
        await classroom.faultless(zoe)
        await classroom.lead(teacher)
        await zoe.locator("#enter [name=code]").fill(await classroom.open(teacher, nicknames=True))
        await zoe.locator("#enter [name=nickname]").fill("Ada 🦊")
        await zoe.keyboard.press("Enter")
        await expect(teacher.locator("#here li bdi")).to_have_text([NAMES[0], "Ada"])


async def test_a_teacher_at_the_pupils_page_and_a_pupil_at_the_teachers_come_to_their_own(classroom: Classroom) -> None:
    async with classroom.page() as teacher, classroom.page() as zoe:
        await classroom.lead(teacher)
        code = await classroom.open(teacher)
        address = teacher.url
        await teacher.goto(f"{classroom.wires[2].url}/live/join#code={code}")
        await expect(teacher.locator("#command-start")).to_be_visible()
        await teacher.goto(f"{classroom.wires[2].url}/live/host")
        assert await classroom.open(teacher) == code
        await expect(teacher.locator("#told")).to_contain_text("had an open room already")
        await zoe.goto(address.replace(classroom.wires[2].url, classroom.wires[0].url))
        await classroom.log_in(zoe, classroom.pupils[0])
        await expect(zoe.locator("#wait-heading")).to_be_visible()
        assert "/live/join" in zoe.url


async def test_a_log_in_is_renewed_on_the_open_connection_and_a_silent_wire_is_noticed(classroom: Classroom) -> None:
    async with classroom.page() as teacher:
        await teacher.clock.install()
        await classroom.lead(teacher)
        async with teacher.expect_websocket() as opened:
            await classroom.open(teacher)
        async with (await opened.value).expect_event("framereceived", lambda text: '"refreshed"' in text):
            await teacher.clock.fast_forward("00:31")
        classroom.wires[2].freeze()
        async with teacher.expect_websocket():
            await teacher.clock.fast_forward("01:05")
        await expect(teacher.locator("#connection")).to_be_hidden()
        await expect(teacher.locator("#command-start")).to_be_visible()


async def test_no_token_is_kept_where_a_script_could_read_it(classroom: Classroom) -> None:
    async with classroom.page() as teacher:
        await classroom.lead(teacher)
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert await teacher.evaluate(kept) == '[{},{},""]'
        await teacher.locator("#log-out").click()
        await expect(teacher.locator("#log-in")).to_be_visible()
        await teacher.reload()
        await expect(teacher.locator("#log-in")).to_be_visible()
