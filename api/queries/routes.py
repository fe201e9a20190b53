"""/cubejs-api/v1: load, subscribe, sql, meta, dry-run. Cube's shapes, also for errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.deps import get_services, require, security_context
from api.queries.service import Queries, while_connected
from api.queries.shapes import stage_body
from core.errors import ContinueWait, EduError, InvalidDate, InvalidQuery, QueryError, Unauthenticated, Unavailable
from core.telemetry import log
from engine.query.access import SecurityContext

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CubeRoute(APIRoute):
    """A route whose every refusal, also of the token, has Cube's shape."""

    def get_route_handler(self) -> Handler:
        """The handler with the errors turned into answers."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except EduError as error:
                return refusal(error)

        return answer


CUBE = "/cubejs-api/v1"
cube = APIRouter(prefix=CUBE, tags=["Cube queries"], dependencies=[Depends(require())], route_class=CubeRoute)
Context = Annotated[SecurityContext, Depends(security_context)]
_QUERY = {
    "requestBody": {
        "content": {
            "application/json": {
                "example": {"query": {"measures": ["responses.count"], "dimensions": ["quizzes.title"], "limit": 10}}
            }
        }
    }
}


async def queries(request: Request) -> Queries:
    """The service over the engine, made at first use from the joined parts."""
    state = request.app.state
    found = getattr(state, "queries", None)
    if isinstance(found, Queries):
        return found
    services = get_services(request)
    made = state.queries = Queries(services.engine, services.settings.continue_wait_seconds)
    return made


Service = Annotated[Queries, Depends(queries)]


@cube.get("/load", summary="Ask a question")
@cube.post("/load", summary="Ask a question", openapi_extra=_QUERY)
@cube.get("/subscribe", summary="Ask a question again and again")
async def load(request: Request, service: Service, context: Context) -> Response:
    """Rows, with what their columns mean. A query that takes long answers `Continue wait`: ask the same again."""
    given = await _given(request)
    multi, cache = given.get("queryType") == "multi", given.get("cache")
    work = service.load(given.get("query"), context, multi=multi, cache=cache)
    return await _answer(work, request)


@cube.get("/sql", summary="The SQL of a question")
@cube.post("/sql", summary="The SQL of a question", openapi_extra=_QUERY)
async def sql(request: Request, service: Service, context: Context) -> Response:
    """The ClickHouse SQL with its bound parameters, row filters included; nothing is run."""
    given = await _given(request)
    return await _answer(service.sql(given.get("query"), context), request)


@cube.get("/dry-run", summary="Check a question")
@cube.post("/dry-run", summary="Check a question", openapi_extra=_QUERY)
async def dry_run(request: Request, service: Service, context: Context) -> Response:
    """The question as it was understood; nothing is run."""
    given = await _given(request)
    return await _answer(service.dry_run(given.get("query"), context), request)


@cube.get("/meta", summary="What can be asked")
async def meta(request: Request, service: Service, context: Context) -> Response:
    """Cubes, views and their members, as far as the caller may see them."""
    flags = request.query_params
    only_views = flags.get("onlyViews", "").lower() == "true"
    return await _answer(service.meta(context, extended="extended" in flags, only_views=only_views), request)


health = APIRouter(include_in_schema=False)


@health.get("/readyz")
async def ready(request: Request) -> Response:
    """Whether questions can be answered, where Cube's probes look."""
    try:
        await get_services(request).warehouse.query("SELECT 1")
    except EduError:
        return _json({"health": "DOWN"}, 500)
    return _json({"health": "HEALTH"}, 200)


@health.get("/livez")
async def alive() -> Response:
    """Whether the process answers."""
    return _json({"health": "HEALTH"}, 200)


router = APIRouter()
router.include_router(cube)
router.include_router(health)


async def _given(request: Request) -> dict[str, Any]:
    """The parameters of the address, or the fields of the body."""
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidQuery(f"The body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidQuery("Query param is required")
    return dict(request.query_params) | given


async def _answer(work: Awaitable[bytes], request: Request) -> Response:
    body = await while_connected(work, lambda: _disconnected(request))
    return Response(body or b"", 200 if body else 499, media_type="application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(error: EduError) -> Response:
    """An error in Cube's shape; what the planner refuses is a `UserError`."""
    status = 403 if isinstance(error, Unauthenticated) else error.status
    if isinstance(error, Unauthenticated):
        return _json({"error": error.message if error.code == "no_token" else "Invalid token"}, status)
    if isinstance(error, ContinueWait):
        return _json(stage_body(**error.details), 200)
    if isinstance(error, Unavailable):
        log.warning("query_failed", code=error.code, reason=error.message, cause=error.details.get("cause"))
        return _json({"error": error.message}, status)
    body: dict[str, Any] = {"error": error.message}
    if isinstance(error, QueryError) and not isinstance(error, InvalidQuery | InvalidDate):
        body = {"type": "UserError", "error": error.message.removesuffix(".")}
    body |= {"hint": error.hint} if error.hint else {}
    return _json(body | ({"path": error.details["path"]} if "path" in error.details else {}), status)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
