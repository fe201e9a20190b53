"""A school, a node, and an open room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from api.principal import Principal
from core.postgres import Postgres
from realtime.log import Opened
from realtime.pacing import Limits
from realtime.protocol import Rules
from tests.realtime.guests import Guest, joined
from tests.realtime.nodes import Node, running_node
from tests.realtime.world import World, build_world, token

QUICK = Limits(departure_s=0.2, poll_s=0.3, follow_s=0.3, settle_s=0.3)


@dataclass(frozen=True)
class Room:
    """An open room at a running node, and ways into it."""

    world: World
    node: Node
    opened: Opened

    @property
    def where(self) -> dict[str, int]:
        """How a guest names the room."""
        return {"session_id": self.opened.session_id}

    def teacher(self, url: str | None = None, **more: Any) -> AbstractAsyncContextManager[Guest]:
        """The teacher of the classroom."""
        return self._in(url, token(self.world.teacher, "teacher", self.world.school), more)

    def pupil(self, number: int = 0, url: str | None = None, **more: Any) -> AbstractAsyncContextManager[Guest]:
        """One of its pupils."""
        return self._in(url, token(self.world.pupils[number], "student", self.world.school), more)

    def somebody(self, user: int, role: str) -> AbstractAsyncContextManager[Guest]:
        """Any person of the school."""
        return self._in(None, token(user, role, self.world.school), {})

    def _in(self, url: str | None, text: str, more: dict[str, Any]) -> AbstractAsyncContextManager[Guest]:
        return joined(url or self.node.url, text, **(self.where | more))


@pytest.fixture
async def world(postgres: Postgres) -> World:
    """A school."""
    return await build_world(postgres)


@pytest.fixture
async def node(postgres: Postgres) -> AsyncIterator[Node]:
    """A running node that is quick to notice things."""
    async with running_node(postgres, limits=QUICK) as running:
        yield running


async def open_room(world: World, node: Node, **rules: Any) -> Room:
    """A room in its lobby that is played by these rules."""
    teacher = Principal(role="teacher", user_id=world.teacher, school_id=world.school)
    return Room(world, node, await node.hub.open_room(teacher, world.classroom, world.quiz, Rules(**rules)))


@pytest.fixture
async def room(world: World, node: Node) -> Room:
    """A room in its lobby."""
    return await open_room(world, node)


@pytest.fixture
def start_node(postgres: Postgres) -> Callable[..., AbstractAsyncContextManager[Node]]:
    """Starts another node over the same record."""
    return partial(running_node, postgres)
