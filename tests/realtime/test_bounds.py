"""What one socket may do and cost: rates, queues, shared work. No network."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from api.live.framing import framed
from realtime.outbox import Outbox
from realtime.pacing import Shared, Throttle, TokenBucket


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=300))
def test_a_bucket_never_lets_through_more_than_rate_and_burst(pauses: list[float]) -> None:
    bucket = TokenBucket(rate=20, burst=40, at=0)
    at, taken = 0.0, 0
    for pause in pauses:
        at += pause
        taken += bucket.take(at)
        assert taken <= 40 + at * 20 + 1e-6


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=20, burst=40, at=0)
    assert [bucket.take(0) for _ in range(41)] == [True] * 40 + [False]
    assert [bucket.take(0.05), bucket.take(0.06), bucket.take(0.1)] == [True, False, True]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_001])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_frame_made_once_is_the_frame_that_websockets_would_make(letter: str, size: int) -> None:
    text = letter * (size // len(letter.encode())) + "a" * (size % len(letter.encode()))
    assert len(text.encode()) == size
    assert framed(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


async def test_an_outbox_keeps_order_and_only_the_latest_of_each_state() -> None:
    outbox = Outbox(frames=3, size=100)
    outbox.put_state("histogram", "h1")
    assert outbox.put("a")
    outbox.put_state("presence", "p1")
    outbox.put_state("histogram", "h2")
    assert outbox.put("b")
    assert [outbox.next() for _ in range(5)] == ["a", "b", "h2", "p1", None]


async def test_an_outbox_refuses_what_does_not_fit_by_number_or_by_size() -> None:
    outbox = Outbox(frames=2, size=10)
    assert outbox.put("x" * 10) and not outbox.put("x")
    outbox.next()
    assert outbox.put("x") and outbox.put("x") and not outbox.put("x")


async def test_shared_work_starts_after_each_callers_call_and_runs_once_for_all_who_wait() -> None:
    clock, starts = [0], []

    async def work() -> None:
        starts.append(clock[0])
        await asyncio.sleep(0.01)

    shared = Shared(work)

    async def call(at: int) -> None:
        clock[0] = at
        await shared()
        assert any(start >= at for start in starts)

    first = asyncio.create_task(call(1))
    await asyncio.sleep(0.005)
    others = [asyncio.create_task(call(2)) for _ in range(20)]
    await asyncio.gather(first, *others)
    assert len(starts) == 2


async def test_shared_work_that_fails_does_so_for_those_who_waited_and_works_again_after() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("first")

    shared = Shared(work)
    outcomes = await asyncio.gather(shared(), shared(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError]
    await shared()
    assert runs == 2


async def test_a_throttle_works_at_once_then_at_its_pace_and_never_forgets_the_last_touch() -> None:
    loop = asyncio.get_running_loop()
    done: list[float] = []

    async def work() -> None:
        done.append(loop.time())

    throttle = Throttle(work, 0.05)
    began = loop.time()
    for _ in range(30):
        throttle.touch()
        await asyncio.sleep(0.005)
    last = loop.time()
    await asyncio.sleep(0.1)
    throttle.stop()
    assert done[0] - began < 0.04 and done[-1] > last - 0.02
    assert all(later - earlier >= 0.045 for earlier, later in pairwise(done))
