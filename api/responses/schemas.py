"""The bodies and answers of /responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from api.fields import Body, Id, Moment

ClientId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_EXAMPLE: dict[str, Any] = {"student_id": 101, "question_id": 45, "answer": "B", "time_spent": 38.5, "quiz_id": 15}


class NewResponse(Body):
    """An answer to a question of a session, of a quiz, or of the only quiz that asks it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    question_id: Id
    student_id: Id | None = Field(None, description="A student may leave it out.")
    answer: bool | float | int | str | list[str] | None = Field(
        validation_alias=AliasChoices("answer", "choice"), description="An option's key or text, a number, a text …"
    )
    time_spent: Annotated[float, Field(ge=0, le=86_400)] | None = Field(None, description="Seconds.")
    session_id: Id | None = None
    quiz_id: Id | None = None
    classroom_id: Id | None = None
    attempt_number: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="Left out: the next one.")
    client_id: ClientId | None = Field(None, description="The same in each retry; the header Idempotency-Key does too.")
    submitted_at: Moment | None = Field(None, validation_alias=AliasChoices("submitted_at", "timestamp"))
    app: Literal["whiteboard", "notebook"] = "notebook"
    correct: Any = Field(None, description="May be sent and is never read: the server grades.")


class Response(BaseModel):
    """An answer as it stands in the record; `correct` is null where nobody can say, or may say yet."""

    id: UUID
    school_id: int
    classroom_id: int | None
    session_id: int
    quiz_id: int
    quiz_version: int
    question_id: int
    student_id: int
    attempt_number: int
    answer: str | None
    correct: bool | None
    score: float | None
    time_spent: float | None = Field(description="Seconds.")
    submitted_at: datetime


class Outcome(BaseModel):
    """What became of one answer: accepted, duplicate (a retry) or rejected, with the reason."""

    status: Literal["accepted", "duplicate", "rejected"]
    id: UUID | None = None
    session_id: int | None = None
    quiz_id: int | None = None
    question_id: int | None = None
    student_id: int | None = None
    attempt_number: int | None = None
    answer: str | None = None
    correct: bool | None = None
    score: float | None = None
    submitted_at: datetime | None = None
    reason: str | None = None
    field: str | None = None
    message: str | None = None

    def on_line(self, number: int) -> dict[str, Any]:
        """Itself, told of a line of a stream."""
        told = self.model_dump(mode="json", exclude_none=True) | {"line": number}
        return told if self.field is None else told | {"path": self.field}


class Outcomes(BaseModel):
    """The outcomes of many answers, in their order."""

    accepted: int
    duplicate: int
    rejected: int
    items: list[Outcome]
