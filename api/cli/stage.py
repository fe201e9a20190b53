"""Where the demo's live quiz is played: a room in the demo teacher's class, a quiz of its subject, bots as pupils."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2

from api.cli.bots import Pace, Stage
from api.cli.client import mint, read
from api.deps import Services
from api.principal import Principal
from core.settings import Settings

_MOST_BOTS = 15
_LIFETIME = timedelta(hours=1)
_CLASS = """
select c.id, c.subject, t.id as teacher, t.school_id from users t join classrooms c on c.teacher_id = t.id
where t.email = %(teacher)s order by c.id limit 1"""
_PUPILS = """
select u.id from enrolments e join users u on u.id = e.user_id
where e.classroom_id = %(classroom)s and e.role = 'student' and e.valid_to is null and u.email is null
order by u.id limit %(most)s"""
_QUIZ = """
select z.id from quizzes z where z.subject = %(subject)s and z.school_id is null and z.deleted_at is null
order by z.id desc limit 1"""


async def set_stage(services: Services, settings: Settings, url: str, teacher: str, pace: Pace) -> Stage | None:
    """Open the room (or find the one that is open); None where the demo's people are not there."""
    room = await services.postgres.fetch_one(_CLASS, {"teacher": teacher})
    quiz = await services.postgres.fetch_one(_QUIZ, {"subject": room["subject"]}) if room else None
    if room is None or quiz is None:
        return None
    pupils = await services.postgres.fetch(_PUPILS, {"classroom": room["id"], "most": _MOST_BOTS})

    def token(role: str, user: int) -> str:
        return mint(settings, Principal(role=role, user_id=user, school_id=room["school_id"]), _LIFETIME)

    leader = token("teacher", room["teacher"])
    wish = {"classroom_id": room["id"], "quiz_id": quiz["id"], "seconds": pace.question}
    opened = await _open(url, leader, wish)
    return Stage(
        url=f"{url.replace('http', 'ws', 1)}/ws/quiz",
        session_id=opened["session_id"],
        join_code=opened["join_code"],
        teacher=leader,
        pupils=tuple(token("student", pupil["id"]) for pupil in pupils),
    )


async def _open(url: str, token: str, wish: dict[str, Any]) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.post("/api/v1/live/sessions", json=wish)
    if answer.status_code == httpx2.codes.CONFLICT:
        return dict(answer.json()["error"]["details"])
    return dict(read(answer))
