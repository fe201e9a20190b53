"""A route without FastAPI's solving of dependencies: for the one door through which thousands come in a second.

It has the same rules as any other route, declared in the same way and run in the same order; its function takes the
request only, and says of its body what the documentation shall say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.limits.rates import Limited


class StraightRoute(APIRoute):
    """Runs the rules (each a callable of the connection), then the function."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The rules of the application, the routers and the route, then the function."""
        endpoint = cast(Callable[[Request], Awaitable[Response]], self.endpoint)

        async def handle(request: Request) -> Response:
            context = request.scope.get("fastapi", {}).get("effective_route_context") or self
            for rule in context.dependant.dependencies:
                if rule.call is not None and not isinstance(rule.call, Limited):
                    await rule.call(request)
            return await endpoint(request)

        return handle
