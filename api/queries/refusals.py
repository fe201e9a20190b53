"""The bodies of Cube's refusals: its `error` and `type`; beside them our code, the place, the nearest names, a hint."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from core.errors import EduError, InvalidDate, InvalidQuery, QueryError, RefusedByStore

Json = dict[str, Any]
_TOLD = ("path", "line", "column", "member", "nearest", "retry_after")
_GATEWAY = InvalidQuery | InvalidDate | RefusedByStore


class Refusal(BaseModel):
    """What a refused question is answered, for the OpenAPI document."""

    error: str = Field(description="Cube's text.")
    type: str | None = Field(None, description="`UserError` where the question itself is wrong.")
    code: str | None = Field(None, description="Stable; absent where the token is refused.")
    path: str | None = Field(None, description="The place in the JSON of the question.")
    line: int | None = Field(None, description="The place in the SQL of the question, from 1.")
    column: int | None = None
    member: str | None = None
    nearest: list[str] | None = None
    hint: str | None = None
    ossie: str | None = None
    retry_after: int | None = None


REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "What was wrong, in Cube's words and ours."},
    "5XX": {"model": Refusal, "description": "A store is away."},
}


def refusal_body(error: EduError) -> Json:
    """`{"error", "type"?, "code", "path"?, "member"?, "nearest"?, "hint"?, "ossie"?}`; the first two are Cube's.

    A fault in SQL has `line` and `column` in place of `path`.
    """
    planned = isinstance(error, QueryError) and not isinstance(error, _GATEWAY)
    body: Json = {"type": "UserError"} if planned else {}
    body |= {"error": error.message.removesuffix(".") if planned else error.message, "code": error.code}
    body |= {key: error.details[key] for key in _TOLD if error.details.get(key) not in (None, [])}
    body |= {key: value for key, value in (("hint", error.hint), ("ossie", error.ossie)) if value}
    return body


def stage_body(stage: str, time_elapsed: int) -> Json:
    """«Continue wait»: the client asks again at once."""
    return {"error": "Continue wait", "stage": stage, "timeElapsed": time_elapsed}
