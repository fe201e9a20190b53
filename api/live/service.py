"""Joins the live hub to the rest: broker by the settings, tokens by the log-in, answers by ingestion's group commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from api.audit.entries import make_entry
from api.audit.queue import AuditLog
from api.principal import Principal
from core.clock import epoch_ms
from core.errors import EduError
from core.postgres import Postgres
from core.settings import Settings
from ingestion.attempts import AnswerRow
from ingestion.grading import grade
from ingestion.writer import Writer
from realtime.broker import Broker, LocalBroker
from realtime.grading import LiveAnswer, Outcome
from realtime.hub import Authenticate, LiveHub
from realtime.roster import Principal as RoomPrincipal
from realtime.roster import Seat
from realtime.valkey import ValkeyBroker


@dataclass(frozen=True)
class LiveDoor:
    """The hub, and the web origins from which a browser may come to it."""

    hub: LiveHub
    origins: frozenset[str] = frozenset()

    def admits(self, origin: str | None, host: str | None) -> bool:
        """Whether a socket of this Origin header may open: none (no browser), our own host, or one that is allowed."""
        return origin is None or origin in self.origins or urlsplit(origin).netloc == host


class AnswerKeeper:
    """Live answers by the one grading function and the one group commit; attempt 1, so one answer a pupil counts.

    The room knows session, question and pupil already, so nothing is looked up again.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def __call__(self, answer: LiveAnswer, /) -> Outcome:
        """Grade, write, and return after the commit; raises InvalidField, TooMany, Unavailable."""
        (placed,) = await self._writer.submit_responses([_row(answer)])
        if isinstance(placed, EduError):
            raise placed
        return Outcome.ACCEPTED if placed.status == "accepted" else Outcome.DUPLICATE


def _row(answer: LiveAnswer) -> AnswerRow:
    question = answer.question
    options = [{"key": option.key, "text": option.text} for option in question.options]
    graded = grade(question.kind, options, question.answer_key, answer.choice)
    return AnswerRow(
        school_id=answer.school_id,
        classroom_id=answer.classroom_id,
        session_id=answer.session_id,
        opened_at=answer.opened_at,
        quiz_id=answer.quiz_id,
        quiz_version=answer.quiz_version,
        question_id=question.id,
        student_id=answer.student_id,
        attempt_number=1,
        choice=graded.choice,
        correct=graded.correct,
        score=graded.score,
        time_spent_ms=answer.time_spent_ms,
        submitted_at=datetime.fromtimestamp(epoch_ms(answer.received_at) / 1000, UTC),
        client_id=answer.client_id,
    )


def live_door(
    settings: Settings, postgres: Postgres, authenticate: Authenticate, writer: Writer, audit: AuditLog
) -> LiveDoor:
    """The door, its hub not yet started: `async with door.hub`."""

    async def admitted(principal: RoomPrincipal, session_id: int, seat: Seat) -> None:
        caller = Principal(principal.role, principal.user_id, principal.school_id)
        own = [seat.user_id] if seat.role == "student" else []
        await audit.note(make_entry(caller, "live.joined", subjects=own, target=f"session_id={session_id}"))

    hub = LiveHub(postgres, live_broker(settings), authenticate, AnswerKeeper(writer), admitted=admitted)
    return LiveDoor(hub, frozenset(settings.cors_origins))


def live_broker(settings: Settings) -> Broker:
    """Valkey when it is set, else this process alone."""
    if settings.valkey_url is None:
        return LocalBroker()
    return ValkeyBroker(settings.valkey_url.get_secret_value())
