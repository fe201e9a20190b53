"""Two short cuts through FastAPI, for requests that need none of its parsing: it costs more than a kept answer does.

`Signpost`: a path without parameters finds its route in a dictionary and not by trying every pattern in turn.
`DirectRoute`: where nothing that a route depends on takes more than the connection, they are called one after another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, get_type_hints

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.limits.rates import Limited

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]
_Step: TypeAlias = tuple[Callable[..., Awaitable[Any]], str, str | None]
"""What to call, the name under which it takes the connection, the endpoint's name for what it returns."""


class DirectRoute(APIRoute):
    """A route that calls what it depends on itself, if that and the endpoint take the connection alone."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, or ours."""
        handle = super().get_route_handler()
        known: dict[int, tuple[Dependant, list[_Step] | None]] = {}

        async def answer(request: Request) -> Response:
            dependant = dependant_of(request.scope)
            found = known.get(id(dependant))
            if found is None or found[0] is not dependant:
                found = known[id(dependant)] = dependant, _steps(dependant)
            return await handle(request) if found[1] is None else await _walk(found[1], dependant, request)

        return answer


def dependant_of(scope: Scope) -> Dependant:
    """What the route at hand depends on, that of its routers and of the application included."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    found: Dependant = (context or scope["route"]).dependant
    return found


def is_direct(dependant: Dependant) -> bool:
    """Whether a route that depends on this can be called directly."""
    return _steps(dependant) is not None


async def _walk(steps: list[_Step], dependant: Dependant, request: Request) -> Response:
    values: dict[str, Any] = {}
    for call, taken, name in steps:
        value = await (call(**{taken: request}) if taken else call())
        if name:
            values[name] = value
    if dependant.request_param_name:
        values[dependant.request_param_name] = request
    endpoint: Any = dependant.call
    answer: Response = await endpoint(**values)
    return answer


def _steps(dependant: Dependant) -> list[_Step] | None:
    """The calls in FastAPI's order; None where something asks for more."""
    if not _takes_nothing_else(dependant) or get_type_hints(dependant.call).get("return") is not Response:
        return None
    steps: list[_Step] = []
    for part in dependant.dependencies:
        if isinstance(part.call, Limited):
            continue
        if part.dependencies or not _takes_nothing_else(part):
            return None
        call: Any = part.call
        steps.append((call, part.request_param_name or part.http_connection_param_name or "", part.name))
    return steps


def _takes_nothing_else(part: Dependant) -> bool:
    asked = (part.path_params, part.query_params, part.header_params, part.cookie_params, part.body_params)
    others = (part.websocket_param_name, part.response_param_name, part.background_tasks_param_name)
    call: Any = part.call
    return not (any(asked) or any(others) or part.security_scopes_param_name) and (
        iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    )


class Signpost:
    """Stands before the application's router: paths without parameters are looked up, the rest goes the usual way."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._usual: ASGIApp = app.router.middleware_stack

    @cached_property
    def routes(self) -> dict[tuple[str, str], RouteContext]:
        """(method, path) → route; worked out at the first request, when all of them are there."""
        return _plain_routes(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the route of that method and path, if there is just one thing that it can be."""
        if scope["type"] != "http" or scope.get("root_path"):
            await self._usual(scope, receive, send)
            return
        found = self.routes.get((scope["method"], scope["path"]))
        if found is None:
            await self._usual(scope, receive, send)
            return
        scope.update(router=self._app.router, route=found.original_route, endpoint=found.endpoint, path_params={})
        scope.setdefault("fastapi", {})["effective_route_context"] = found
        await found.app(scope, receive, send)


def _plain_routes(app: FastAPI) -> dict[tuple[str, str], RouteContext]:
    """(method, path) → route, the first that was declared; no path that a pattern declared before it matches too."""
    found: dict[tuple[str, str], RouteContext] = {}
    patterns: list[Any] = []
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        if "{" in (route.path or ""):
            patterns.append(route.path_regex)
        elif not any(pattern.match(route.path) for pattern in patterns):
            for method in route.methods or ():
                found.setdefault((method, route.path or ""), route)
    return found
