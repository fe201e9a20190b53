"""Every exception that we foresee becomes one shape of answer; the rest is the middleware's (500, logged)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.audit.refusals import note_refusal
from api.envelope import failure
from core.errors import EduError, InvalidField
from core.telemetry import log

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 400: "bad_input", 401: "unauthenticated"}


def add_handlers(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(EduError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> Response:
    error = await note_refusal(request, cast(EduError, error))
    wait = error.details.get("retry_after")
    headers = {"Retry-After": str(wait)} if wait else None
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Bearer"}
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_failed", code=error.code, reason=error.message, cause=error.details.get("cause"))
        details = {key: value for key, value in error.details.items() if key != "cause"}
    else:
        details = _details(error)
    return failure(request.url.path, error.status, str(error), error.code, details, headers)


def _details(error: EduError) -> dict[str, Any]:
    """A refused field is told in the same form, whoever refused it."""
    if isinstance(error, InvalidField) and "field" in error.details:
        fault = {"field": error.details["field"], "problem": error.message, "type": error.code}
        return {"errors": [fault], **{key: value for key, value in error.details.items() if key != "field"}}
    return error.details


async def _invalid(request: Request, error: Exception) -> Response:
    error = cast(RequestValidationError, error)
    faults = [_fault(item) for item in error.errors()]
    if faults[0]["type"] == "json_invalid":
        return failure(request.url.path, 400, "The body is not JSON.", "invalid_json", {"errors": faults})
    first = faults[0]
    message = f"{first['field']}: {first['problem']}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
    return failure(request.url.path, 422, message, "invalid_field", {"errors": faults[:50]})


def _fault(item: Any) -> dict[str, str]:
    where = [str(part) for part in item["loc"]]
    if len(where) > 1 and where[0] in {"body", "query", "path", "header"}:
        where = where[1:]
    return {
        "field": ".".join(where),
        "problem": str(item["msg"]).removeprefix("Value error, "),
        "type": str(item["type"]),
    }


async def _http(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    path = request.url.path
    message = {
        404: f"There is nothing at {path}.",
        405: f"{request.method} is not possible at {path}.",
        413: "The body is too large.",
    }.get(error.status_code, str(error.detail))
    code = _CODES.get(error.status_code, "http_error")
    return failure(path, error.status_code, message, code, headers=error.headers)
