"""One slow tablet hurts nobody; who is silent is let go."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from realtime.pacing import Limits
from tests.realtime.conftest import Room
from tests.realtime.guests import Guest, joined, visiting
from tests.realtime.world import token


def _narrow(url: str) -> socket.socket:
    """A connected socket that takes little before its owner reads."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    parts = urlsplit(url)
    narrow.connect((parts.hostname, parts.port))
    narrow.setblocking(False)
    return narrow


async def test_who_does_not_read_is_closed_as_slow_and_the_others_notice_nothing(start_node: Any, room: Room) -> None:
    world = room.world
    slow, quick = (token(pupil, "student", world.school) for pupil in world.pupils[:2])
    limits = Limits(queue_frames=16, frames_per_s=1e6, frames_burst=1e6)
    async with (
        start_node(limits=limits, send_buffer=8192) as node,
        joined(node.url, token(world.teacher, "teacher", world.school), **room.where) as teacher,
        joined(node.url, quick, **room.where) as other,
        connect(node.url, sock=_narrow(node.url), compression=None, max_queue=1) as stuck,
    ):
        await stuck.send(json.dumps({"event": "join", "token": slow, **room.where}))
        await teacher.until(lambda frame: len(frame.get("students", [])) == 2, "both pupils")
        asking = asyncio.create_task(_ask(stuck))
        delays = await _round_trips(other, until=lambda: len(teacher.frames[-1].get("students", [])) == 1)
        asking.cancel()
        await teacher.send("quiz_started")
        await other.expect("quiz_started")
        assert sorted(delays)[int(len(delays) * 0.95)] < 0.2, "the slow one held the others up"
        await _drain(stuck)
        assert stuck.close_code == 4008


async def _round_trips(guest: Guest, until: Callable[[], bool]) -> list[float]:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    async with asyncio.timeout(20):
        while not until():
            began = loop.time()
            await guest.send("sync", id=len(delays))
            await guest.expect("sync", id=len(delays))
            delays.append(loop.time() - began)
            await asyncio.sleep(0.01)
    return delays


async def _ask(stuck: ClientConnection) -> None:
    """Ask for answers that nobody reads."""
    with suppress(ConnectionClosed):
        while True:
            await stuck.send(json.dumps({"event": "sync", "id": "x" * 190}))
            await asyncio.sleep(0.001)


async def _drain(stuck: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await stuck.recv()


async def test_who_does_not_answer_the_heartbeat_is_let_go_and_who_does_stays(start_node: Any, room: Room) -> None:
    limits = Limits(ping_s=0.2, pong_s=0.2)
    text = token(room.world.pupils[0], "student", room.world.school)
    async with start_node(limits=limits) as node, joined(node.url, text, **room.where) as well:
        async with connect(node.url, subprotocols=[Subprotocol("edu.live.v1")]) as mute:
            await mute.send(json.dumps({"event": "join", "token": text, **room.where}))
            async with asyncio.timeout(3):
                await mute.wait_closed()
            assert mute.close_code == 4012
        assert "ping" in well.events()
        await well.send("sync")
        await well.expect("sync")


async def test_a_node_that_stops_sends_everybody_elsewhere(start_node: Any, room: Room) -> None:
    text = token(room.world.pupils[0], "student", room.world.school)
    async with start_node() as node:
        guest_at = visiting(node.url)
        guest = await guest_at.__aenter__()
        await guest.send("join", token=text, **room.where)
        await guest.expect("joined")
    assert await guest.closed() == 4011
    assert 0 <= int((guest.socket.close_reason or "").removeprefix("retry_ms=")) < 5000
    await guest_at.__aexit__(None, None, None)
