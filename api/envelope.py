"""The one shape of every answer: {"success", "message", "data"}; an error adds "error": {"code", "details"}."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

T = TypeVar("T")
CUBE_PREFIX = "/cubejs-api/"


class Envelope(BaseModel, Generic[T]):
    """What a route returns when it went well."""

    success: bool = True
    message: str = "OK"
    data: T


class Fault(BaseModel):
    """What went wrong: a stable code, and where."""

    code: str = Field(examples=["invalid_field"])
    details: dict[str, Any] = Field(default_factory=dict)


class Failure(BaseModel):
    """What every route returns when it did not go well."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": False,
                    "message": "There is no such quiz.",
                    "data": None,
                    "error": {"code": "not_found", "details": {}},
                }
            ]
        }
    )
    success: bool = False
    message: str
    data: None = None
    error: Fault


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    page: int = Field(ge=1)
    page_size: int
    total: int = Field(description="How many there are on all pages.")


class JsonResponse(Response):
    """JSON by orjson: dates in ISO 8601, no NaN, integers of any size."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of one value."""
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def ok(data: T, message: str = "OK") -> Envelope[T]:
    """A good answer."""
    return Envelope(message=message, data=data)


def failure(
    path: str, status: int, message: str, code: str, details: dict[str, Any] | None = None, headers: Any = None
) -> Response:
    """A bad answer, in the envelope, or in Cube's shape under Cube's paths."""
    if path.startswith(CUBE_PREFIX):
        body = {"error": message} | ({} if status == 401 else {"code": code})
        return JsonResponse(body, 403 if status == 401 else status, headers=headers)
    error = {"code": code, "details": details or {}}
    return JsonResponse({"success": False, "message": message, "data": None, "error": error}, status, headers=headers)
