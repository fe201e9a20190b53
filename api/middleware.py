"""Around every request: an id, security headers, a log line, metrics. Pure ASGI: streams and sockets pass untouched."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.envelope import failure
from core.ids import new_id
from core.telemetry import http_requests, http_seconds, log
from ingestion.loader import Loader

_ID = re.compile(r"[\w.:\-]{1,100}")
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_CHANGED = ("/api/v1/schools", "/api/v1/users", "/api/v1/classrooms", "/api/v1/enrolments", "/api/v1/quizzes")
"""Where the dimensions of questions are written; the writer of events and answers wakes the loader itself."""
_QUIET = {"/health", "/health/live", "/health/ready", "/metrics"}
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
STANDING_HEADERS = {**SECURITY_HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": _POLICY}
"""The headers of every answer."""
_STANDING = [(name.lower().encode(), value.encode()) for name, value in STANDING_HEADERS.items()]


class RequestContext:
    """Gives a request its id, and its answer the headers, the log line and the metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, **_trace(headers))
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        await self._http(scope, receive, send, request_id)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id, scope["state"].get("rate", {}))
            await send(message)

        try:
            with _courtesy(scope):
                await self.app(scope, receive, answer)
        except Exception as error:
            log.error("unforeseen_error", route=route_template(scope), exc_info=error)
            if not status:
                await internal(scope["path"])(scope, receive, answer)
        finally:
            _record(scope, status, time.perf_counter() - started)
            if status < 300 and scope["method"] in _WRITES and scope["path"].startswith(_CHANGED):
                _wake_loader(scope)


def _courtesy(scope: Scope) -> AbstractContextManager[None]:
    """While this request is answered, the loader of this process gives way."""
    loader = _loader(scope)
    return nullcontext() if loader is None or scope["path"] in _QUIET else loader.courtesy


def _wake_loader(scope: Scope) -> None:
    """What was changed is queryable at once, not when the loader looks next."""
    loader = _loader(scope)
    if loader is not None:
        loader.wake()


def _loader(scope: Scope) -> Loader | None:
    fed = getattr(getattr(scope["app"].state, "services", None), "fed", None)
    return None if fed is None else fed.loader


def internal(path: str) -> Response:
    """The answer to what we did not foresee; the log has the rest."""
    return failure(path, 500, "Something went wrong on our side.", "internal")


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else str(new_id())


def _trace(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The trace that the caller's `traceparent` names, for the log."""
    found = _TRACE.fullmatch(headers.get(b"traceparent", b"").decode("latin-1"))
    return {"trace_id": found[1]} if found else {}


def _add_headers(message: Message, request_id: str, rate: Mapping[str, str]) -> None:
    """Ours beside those of the answer; where the answer has one of the standing ones, its own holds."""
    given = list(message.get("headers", ()))
    names = {name for name, _ in given}
    given += [header for header in _STANDING if header[0] not in names]
    given.append((b"x-request-id", request_id.encode("latin-1")))
    given += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in rate.items()]
    message["headers"] = given


def route_template(scope: Scope) -> str:
    """The path of the route with its parameters' names; one value for all that is not found."""
    with suppress(KeyError, AttributeError, TypeError):
        found: Any = scope["fastapi"]["effective_route_context"]
        return str(found.path_format)
    return str(getattr(scope.get("route"), "path", "unknown"))


@lru_cache(4096)
def _meters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return http_requests.labels(method, route, str(status)), http_seconds.labels(method, route)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = route_template(scope)
    requests, durations = _meters(scope["method"], route, status)
    requests.inc()
    durations.observe(seconds)
    if scope["path"] not in _QUIET:
        principal = scope.get("state", {}).get("principal")
        log.info(
            "request",
            method=scope["method"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            user_id=getattr(principal, "user_id", None),
            school_id=getattr(principal, "school_id", None),
        )
