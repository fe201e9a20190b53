"""/api/v1/live/sessions and the WebSocket /ws/quiz."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api.audit.trail import Trail, audited
from api.deps import require
from api.envelope import Envelope, ok
from api.fields import Body, Id
from api.live.service import LiveDoor
from api.live.socket import QuizSocket
from api.principal import Principal
from core.errors import InvalidField, Unavailable
from realtime.hub import Guard
from realtime.protocol import SUBPROTOCOLS, Rules

SOCKET_PATH = "/ws/quiz"
router = APIRouter(prefix="/live", tags=["live"])


class NewTeam(Body):
    """A team, and who plays in it; whoever is in none is dealt to one at random."""

    name: str = Field(min_length=1, max_length=40, pattern=r"^[^\x00]*$", examples=["Team 1"])
    members: list[Id] = Field(default=[], max_length=5000)


class NewLiveSession(Body):
    """Which quiz for which classroom, and how it is played."""

    classroom_id: Id
    quiz_id: Id
    mode: Literal["teacher", "self_paced"] = Field(
        "teacher", description="The teacher leads, or each pupil moves on alone."
    )
    seconds: float | None = Field(None, gt=0, le=86_400, description="The usual time for a question.")
    changes: bool = Field(False, description="An answer may be changed until its question locks.")
    nicknames: bool = Field(False, description="Classmates see chosen names.")
    leaderboard: bool = Field(True, description="Everybody sees the best ten after each reveal.")
    speed: bool = Field(True, description="Quick answers are worth more.")
    teams: list[NewTeam] = Field(default=[], max_length=10, description="Two or more, or none.")

    def rules(self) -> Rules:
        """How the room is played; raises InvalidField."""
        names = tuple(team.name.strip() for team in self.teams)
        if len(names) == 1 or len(set(names)) < len(names) or not all(names):
            raise InvalidField("Teams are two or more, each with a name of its own.", field="teams")
        if self.mode == "self_paced" and self.changes:
            raise InvalidField("Whoever moves on alone cannot go back: leave `changes` out.", field="changes")
        return Rules(teams=names, **self.model_dump(exclude={"classroom_id", "quiz_id", "teams"}))

    def chosen(self) -> dict[int, int]:
        """Pupil → the number of his team; raises InvalidField."""
        chosen = {member: number for number, team in enumerate(self.teams) for member in team.members}
        if len(chosen) < sum(len(team.members) for team in self.teams):
            raise InvalidField("Nobody plays in two teams, or in one twice.", field="teams")
        return chosen


class LiveSession(BaseModel):
    """A room in its lobby."""

    session_id: int
    join_code: str = Field(description="By which the classroom's pupils find the room.", examples=["K7QM2XPA"])
    socket: str = Field(SOCKET_PATH, description="The path of the WebSocket.")


def get_door(connection: HTTPConnection) -> LiveDoor:
    """The live door that `api/app.py` opened."""
    services = getattr(connection.app.state, "services", None)
    door = services.extra.get("live") if services else None
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
    opened = await door.hub.open_room(caller, wish.classroom_id, wish.quiz_id, wish.rules(), wish.chosen())
    await trail.note(session_id=opened.session_id, classroom_id=wish.classroom_id)
    return ok(LiveSession(session_id=opened.session_id, join_code=opened.join_code), "Live quiz opened.")


async def quiz_socket(websocket: WebSocket) -> None:
    """A live quiz; the first frame says who comes (realtime/protocol)."""
    door = get_door(websocket)
    headers = websocket.headers
    if not door.admits(headers.get("origin"), headers.get("host")):
        await websocket.close()
        return
    offered = websocket.scope["subprotocols"]
    spoken = next((name for name in offered if name in SUBPROTOCOLS), None)
    if offered and spoken is None:
        await websocket.send_denial_response(_unknown_version())
        return
    await websocket.accept(subprotocol=spoken)
    await door.hub.serve(QuizSocket(websocket, beats=spoken is not None), _guard(door, websocket))


def _unknown_version() -> Response:
    text = f"This server speaks {', '.join(SUBPROTOCOLS)}."
    error = {"code": "unknown_version", "details": {"supported": list(SUBPROTOCOLS)}}
    return JSONResponse({"success": False, "message": text, "error": error}, 400)


def _guard(door: LiveDoor, websocket: WebSocket) -> Guard | None:
    """Around a join code: each caller has tries of his own, so nobody closes the door of his classmates."""
    guess = door.guess
    return guess and (lambda caller: guess(websocket, "join_code", str(caller.user_id)))


socket_routes = [WebSocketRoute(SOCKET_PATH, quiz_socket)]
"""Without FastAPI's dependencies, which would be kept for as long as a socket is open."""
