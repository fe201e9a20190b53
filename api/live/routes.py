"""/api/v1/live/sessions and the WebSocket /ws/quiz."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from api.audit.trail import Trail, audited
from api.deps import get_services, require
from api.envelope import Envelope, ok
from api.fields import Body, Id
from api.live.service import LiveDoor
from api.principal import Principal
from core.errors import Unavailable
from realtime.connection import Disconnected

SOCKET_PATH = "/ws/quiz"
SUBPROTOCOL = "edu.live.v1"
router = APIRouter(prefix="/live", tags=["live"])
socket_router = APIRouter()


class NewLiveSession(Body):
    """Which quiz for which classroom."""

    classroom_id: Id
    quiz_id: Id


class LiveSession(BaseModel):
    """A room in its lobby."""

    session_id: int
    join_code: str = Field(description="By which the classroom's pupils find the room.", examples=["K7QM2XPA"])
    socket: str = Field(SOCKET_PATH, description="The path of the WebSocket.")


def get_door(connection: HTTPConnection) -> LiveDoor:
    """The live door that `api/app.py` opened."""
    door = get_services(connection).extra.get("live")
    if not isinstance(door, LiveDoor):
        raise Unavailable("This server holds no live quizzes.")
    return door


DoorDep = Annotated[LiveDoor, Depends(get_door)]


@router.post("/sessions", status_code=201)
async def open_session(
    wish: NewLiveSession,
    door: DoorDep,
    caller: Annotated[Principal, Depends(require("teacher", "admin"))],
    trail: Annotated[Trail, Depends(audited("live.opened"))],
) -> Envelope[LiveSession]:
    """Open a live quiz for a classroom (its teachers, its school's admins); 409 while another one has not ended."""
    opened = await door.hub.open_room(caller, wish.classroom_id, wish.quiz_id)
    await trail.note(session_id=opened.session_id, classroom_id=wish.classroom_id)
    return ok(LiveSession(session_id=opened.session_id, join_code=opened.join_code), "Live quiz opened.")


@socket_router.websocket(SOCKET_PATH)
async def quiz_socket(websocket: WebSocket, door: DoorDep) -> None:
    """A live quiz; the first frame says who comes (realtime/protocol.py)."""
    headers = websocket.headers
    if not door.admits(headers.get("origin"), headers.get("host")):
        await websocket.close()
        return
    wanted = SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None
    await websocket.accept(subprotocol=wanted)
    await door.hub.serve(QuizSocket(websocket))


class QuizSocket:
    """Starlette's socket in the form that `realtime` asks for."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str:
        """The next message; bytes are read as UTF-8."""
        try:
            message = await self._websocket.receive()
        except (WebSocketDisconnect, RuntimeError) as error:
            raise Disconnected from error
        if message["type"] != "websocket.receive":
            raise Disconnected
        text = message.get("text")
        return str(message["bytes"], errors="replace") if text is None else str(text)

    async def send(self, text: str) -> None:
        """Send a text frame."""
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise Disconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close, if it is not closed."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(code, reason)
