"""Joins the live hub to the rest: broker by the settings, tokens by the log-in, answers by ingestion's group commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from api.audit.entries import make_entry
from api.audit.queue import AuditLog
from api.limits.throttle import guessing_of
from api.live.chronicle import Chronicler
from api.live.history import CubeHistory
from api.principal import Principal
from core.clock import epoch_ms
from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from engine.run.engine import Engine
from ingestion.attempts import AnswerRow
from ingestion.grading import grade
from ingestion.writer import Writer
from realtime.broker import Broker, LocalBroker
from realtime.desk import Authenticate
from realtime.grading import Graded, LiveAnswer, Outcome
from realtime.hub import LiveHub
from realtime.roster import Principal as RoomPrincipal
from realtime.roster import Seat
from realtime.valkey import ValkeyBroker

Guess: TypeAlias = Callable[[HTTPConnection, str, str], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class LiveDoor:
    """The hub, and the web origins from which a browser may come to it."""

    hub: LiveHub
    origins: frozenset[str] = frozenset()
    guess: Guess | None = None
    """Around each look-up of a join code (api.limits.throttle.guessing_of)."""

    def admits(self, origin: str | None, host: str | None) -> bool:
        """Whether a socket of this Origin header may open: none (no browser), our own host, or one that is allowed."""
        return origin is None or origin in self.origins or urlsplit(origin).netloc == host


class AnswerKeeper:
    """Live answers by the one grading function and the one group commit (realtime.grading.AnswerWriter).

    The attempt number is the run of the question, so one answer a pupil counts; the room knows session, question and
    pupil already, so nothing is looked up again.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def grade(self, answer: LiveAnswer, /) -> Graded:
        """Right or wrong, by ingestion's grading; raises InvalidField."""
        question, sitting = answer.question, answer.sitting
        options = [{"key": option.key, "text": option.text} for option in question.options]
        graded = grade(question.kind, options, question.answer_key, answer.choice)
        return Graded(
            school_id=sitting.school_id,
            classroom_id=sitting.classroom_id,
            session_id=sitting.session_id,
            quiz_id=sitting.quiz_id,
            quiz_version=sitting.quiz_version,
            opened_at=sitting.opened_at,
            question_id=question.id,
            run=answer.run,
            student_id=answer.student_id,
            choice=graded.choice,
            correct=graded.correct,
            score=graded.score,
            time_spent_ms=answer.time_spent_ms,
            submitted_at=datetime.fromtimestamp(epoch_ms(answer.received_at) / 1000, UTC),
            client_id=answer.client_id,
        )

    async def keep(self, answers: Sequence[Graded], /) -> list[Outcome]:
        """Write, and return after the commit; raises InvalidField, TooMany, Unavailable."""
        outcomes = []
        for placed in await self._writer.submit_responses([_row(answer) for answer in answers]):
            if isinstance(placed, EduError):
                raise placed
            outcomes.append(Outcome.ACCEPTED if placed.status == "accepted" else Outcome.DUPLICATE)
        return outcomes


def _row(answer: Graded) -> AnswerRow:
    values = {field.name: getattr(answer, field.name) for field in fields(Graded) if field.name != "run"}
    return AnswerRow(attempt_number=answer.run, **values)


def live_door(
    settings: Settings,
    postgres: Postgres,
    authenticate: Authenticate,
    writer: Writer,
    audit: AuditLog,
    engine: Engine,
) -> LiveDoor:
    """The door, its hub not yet started: `async with door.hub`."""

    async def admitted(principal: RoomPrincipal, session_id: int, seat: Seat) -> None:
        caller = Principal(principal.role, principal.user_id, principal.school_id)
        own = [seat.user_id] if seat.role == "student" else []
        await audit.note(make_entry(caller, "live.joined", subjects=own, target=f"session_id={session_id}"))

    hub = LiveHub(
        postgres,
        live_broker(settings),
        authenticate,
        AnswerKeeper(writer),
        admitted=admitted,
        chronicle=Chronicler(settings),
        history=CubeHistory(engine),
    )
    return LiveDoor(hub, frozenset(settings.cors_origins), guessing_of)


def live_broker(settings: Settings) -> Broker:
    """Valkey when it is set, else this process alone."""
    if settings.valkey_url is None:
        return LocalBroker()
    return ValkeyBroker(settings.valkey_url.get_secret_value())
