"""HEAD as GET without its body, OPTIONS with what is possible, TRACE never."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.envelope import failure

_REFUSED = {"TRACE", "CONNECT", "TRACK"}


class Methods:
    """Answers what is the same for every route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, as GET where HEAD was asked."""
        method = scope.get("method")
        if method in _REFUSED:
            answer = failure(scope["path"], 405, f"{method} is never possible.", "method_not_allowed")
            await answer(scope, receive, send)
        elif method == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, _without_body(send))
        elif method == "OPTIONS" and (possible := allowed_methods(scope["app"], scope["path"])):
            await Response(status_code=204, headers={"Allow": ", ".join(possible)})(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def head_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return head_only


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Every method that some route has at this path; none where nothing is."""
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        methods: Iterable[str] = getattr(route, "methods", None) or ()
        if methods and route.path and compile_path(route.path)[0].match(path):
            found |= set(methods)
    if not found:
        return []
    return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))
