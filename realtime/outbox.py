"""What waits to be sent to one socket: log frames and replies in order, and the latest of each state frame."""

from __future__ import annotations

from collections import deque


class Outbox:
    """A bounded queue of frame texts; ASCII or not, sizes are counted in characters, near enough to bytes."""

    __slots__ = ("_frames", "_queue", "_room", "_states")

    def __init__(self, frames: int, size: int) -> None:
        self._frames = frames
        self._room = size
        self._queue: deque[str] | None = None
        self._states: dict[str, str] | None = None

    def put(self, text: str) -> bool:
        """Queue a frame that must not be lost; False when it does not fit."""
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= self._frames or len(text) > self._room:
            return False
        self._queue.append(text)
        self._room -= len(text)
        return True

    def put_state(self, kind: str, text: str) -> None:
        """Replace the waiting state frame of this kind; sent when no other frame waits."""
        if self._states is None:
            self._states = {}
        self._states[kind] = text

    def next_log(self) -> str | None:
        """The next frame that must not be lost, if one waits."""
        if not self._queue:
            self._queue = None  # an empty queue of a quiet socket costs nothing
            return None
        text = self._queue.popleft()
        self._room += len(text)
        return text

    def next(self) -> str | None:
        """The next frame to send, if one waits."""
        text = self.next_log()
        if text is None and self._states:
            text = self._states.pop(next(iter(self._states)))
        return text
