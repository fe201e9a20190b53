"""The first frame that a member is sent: the whole room, in one."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from core.clock import epoch_ms, now
from realtime.connection import Connection
from realtime.pacing import Limits
from realtime.protocol import Join, Joined, Leaderboard, Picture, Turn
from realtime.room import Room
from realtime.state import picture
from realtime.turns import item


def welcome(
    room: Room,
    member: Connection,
    join: Join,
    limits: Limits,
    team: str | None = None,
    own: Mapping[int, tuple[int, str]] | None = None,
    turn: Turn | None = None,
) -> Joined:
    """The room for this member; `own` are a pupil's answers (question → run and choice)."""
    since, sitting = join.off, room.sitting
    recovered = since is not None and join.session_id == sitting.session_id and since <= room.state.off
    return Joined(
        session_id=sitting.session_id,
        join_code=sitting.join_code,
        title=sitting.title,
        role=member.seat.role,
        user_id=member.seat.user_id,
        name=member.seat.name,
        team=team,
        off=room.state.off,
        recovered=recovered,
        log=tuple(room.events[since:]) if recovered else (),
        state=_picture(room, member, own or {}, turn),
        rules=sitting.rules,
        questions=tuple(map(item, sitting.questions.values())) if member.teaches else (),
        server_ms=epoch_ms(now()),
        ping_s=limits.ping_s,
        max_frame=limits.frame_bytes,
    )


def _picture(room: Room, member: Connection, own: Mapping[int, tuple[int, str]], turn: Turn | None) -> Picture:
    state, rules = room.state, room.sitting.rules
    current = own.get(state.question_id or 0)
    is_current = current is not None and state.round is not None and current[0] == state.round.run
    answered = [question for question in own if question != state.question_id or is_current]
    return structs.replace(
        picture(room.events, answered),
        chosen=current[1] if current is not None and is_current else None,
        turn=turn,
        result=None if member.teaches else room.board.result(member.seat.user_id),
        leaderboard=_board(room) if member.teaches or rules.leaderboard else None,
        host=member.teaches or room.shows.hosted,
    )


def _board(room: Room) -> Leaderboard | None:
    return room.board.shown
