"""The moments of a live quiz become events of the record: `quiz_started`, `question_displayed`, `quiz_ended`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from core.ids import derived_id
from core.postgres import Connection, Postgres
from core.settings import Settings
from ingestion.partitions import ensure_months, month_of
from ingestion.pipelines import CHANNEL
from ingestion.staging import EVENT_COLUMNS
from realtime.protocol import LogFrame, QuestionDisplayed, QuizEnded, QuizStarted
from realtime.session import Sitting

_INSERT = f"""
insert into events ({", ".join(EVENT_COLUMNS)}) values ({", ".join(f"%({name})s" for name in EVENT_COLUMNS)})
on conflict do nothing"""
_TOLD = {QuizStarted: "start_time", QuestionDisplayed: "display_time", QuizEnded: "end_time"}


class Chronicler:
    """Writes them in the transaction of the log, so neither is there without the other (realtime.log.Chronicle)."""

    def __init__(self, settings: Settings) -> None:
        self._notify = not settings.embedded_warehouse
        self._months: set[datetime] = set()

    async def make_room(self, postgres: Postgres, events: Sequence[LogFrame], /) -> None:
        """Before the first row of a month: make its partition."""
        months = {month_of(datetime.fromtimestamp(event.at / 1000, UTC)) for event in events} - self._months
        if months:
            async with postgres.transaction() as connection:
                await ensure_months(connection, months, ["events"])
            self._months |= months

    async def __call__(
        self, connection: Connection, sitting: Sitting, events: Sequence[LogFrame], actor: int | None, /
    ) -> None:
        """One row for each frame that the school's record has a word for; `actor` is the teacher who did it."""
        rows = [_row(sitting, event, actor) for event in events if type(event) in _TOLD]
        if not rows:
            return
        for row in rows:
            await connection.execute(_INSERT, row)
        if self._notify:
            await connection.execute("select pg_notify(%s, '')", (CHANNEL,))


def _row(sitting: Sitting, event: LogFrame, actor: int | None) -> dict[str, Any]:
    moment = datetime.fromtimestamp(event.at / 1000, UTC)
    props: dict[str, Any] = {"quiz_id": sitting.quiz_id, _TOLD[type(event)]: moment}
    question = event.question_id if isinstance(event, QuestionDisplayed) else None
    if question is not None:
        props["question_id"] = question
    return {
        "event_id": derived_id(moment, sitting.school_id, "live", sitting.session_id, event.off),
        "school_id": sitting.school_id,
        "user_id": actor,
        "classroom_id": sitting.classroom_id,
        "quiz_id": sitting.quiz_id,
        "session_id": sitting.session_id,
        "question_id": question,
        "event_name": str(type(event).__struct_config__.tag),
        "schema_version": 1,
        "app": "whiteboard",
        "occurred_at": moment,
        "client_id": None,
        "props": msgspec.json.encode(props).decode(),
    }
