"""Frames made once for a whole room: uvicorn's WebSocket with one door more, through which bytes go as they are.

The door is an ASGI extension; where the server does not offer it, frames go the usual way (api.live.socket).
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, TypeAlias, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

Write: TypeAlias = Callable[[bytes], bool]
_EXTENSION = "eduanalytics.frames"
_TEXT = 0x81
"""FIN and the opcode of a text frame (RFC 6455, 5.2); a server does not mask."""


class FramingProtocol(WebSocketsSansIOProtocol):
    """To be given to uvicorn as `ws`."""

    async def run_asgi(self) -> None:
        """Tell the application of the door."""
        self.scope["extensions"][_EXTENSION] = {"write": self.write_frame}
        await super().run_asgi()

    def write_frame(self, frame: bytes) -> bool:
        """Write a whole frame now; False, and nothing is written, where that cannot be: then `send` knows why."""
        if self.disconnected or self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True


def writer_of(scope: MutableMapping[str, Any]) -> Write | None:
    """The door of this socket, if its server has one."""
    offered = scope.get("extensions", {}).get(_EXTENSION)
    return None if offered is None else cast(Write, offered["write"])


@lru_cache(maxsize=32)
def framed(text: str) -> bytes:
    """The WebSocket frame of a text; kept for a moment, for the next socket of the room."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = bytes((_TEXT, size))
    elif size < 2**16:
        head = bytes((_TEXT, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
    return head + payload
