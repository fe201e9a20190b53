"""What waits to be sent to one socket: log frames and replies in order, and the latest of each state frame."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """A bounded queue of frame texts; ASCII or not, sizes are counted in characters, near enough to bytes."""

    def __init__(self, frames: int, size: int) -> None:
        self._frames = frames
        self._room = size
        self._queue: deque[str] = deque()
        self._states: dict[str, str] = {}
        self._filled = asyncio.Event()

    def put(self, text: str) -> bool:
        """Queue a frame that must not be lost; False when it does not fit."""
        if len(self._queue) >= self._frames or len(text) > self._room:
            return False
        self._queue.append(text)
        self._room -= len(text)
        self._filled.set()
        return True

    def put_state(self, kind: str, text: str) -> None:
        """Replace the waiting state frame of this kind; sent when no other frame waits."""
        self._states[kind] = text
        self._filled.set()

    def take_log(self) -> str | None:
        """The next frame that must not be lost, if one waits."""
        return self._queue.popleft() if self._queue else None

    async def take(self) -> str:
        """The next frame to send."""
        while True:
            await self._filled.wait()
            if self._queue:
                text = self._queue.popleft()
                self._room += len(text)
                return text
            if self._states:
                return self._states.pop(next(iter(self._states)))
            self._filled.clear()
