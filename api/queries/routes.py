"""/cubejs-api/v1: load, subscribe, sql, meta, dry-run, running-query. Cube's shapes, also for errors.

Questions in SQL, and what Cube tells of its rollups, stand in `sql_routes`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.audit.personal import Seen
from api.audit.refusals import note_refusal
from api.audit.trail import Trail, audited
from api.auth.scopes import TokenScope
from api.deps import ContextDep, current_principal, get_services, require, security_context
from api.direct import DirectRoute, Handler
from api.limits.rates import limited
from api.principal import Principal
from api.queries.refusals import REFUSALS, refusal_body, stage_body
from api.queries.service import Queries, while_connected
from core.errors import ContinueWait, EduError, InvalidQuery, TooMany, Unauthenticated, Unavailable
from core.telemetry import log
from engine.query.access import SecurityContext


class CubeRoute(DirectRoute):
    """A route whose every refusal, also of the token, has Cube's shape."""

    def get_route_handler(self) -> Handler:
        """The handler with the errors turned into answers."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except EduError as error:
                return refusal(await note_refusal(request, error))

        return answer


_SPAN = re.compile(r"-span-\d+$")
CUBE = "/cubejs-api/v1"
RULE = [Depends(require(scope=TokenScope.QUERY)), Depends(limited("query"))]
cube = APIRouter(prefix=CUBE, tags=["Cube queries"], dependencies=RULE, route_class=CubeRoute, responses=REFUSALS)
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
async def load(request: Request, trail: Annotated[Trail, Depends(audited("query.answered"))]) -> Response:
    """Rows, with what their columns mean. A query that takes long answers `Continue wait`: ask the same again."""
    # Called and not depended on: each dependency costs a request more than a kept answer does.
    principal, service = await current_principal(request), await queries(request)
    context = await security_context(request)
    given = await given_in(request)
    multi, cache = given.get("queryType") == "multi", given.get("cache")
    requester = requester_of(request.headers.get("x-request-id"), principal)
    note, words = noted(trail, context), await _words(request)
    query = given.get("query")
    work = service.load(query, context, multi=multi, cache=cache, words=words, requester=requester, note=note)
    return await answered(work, request)


@cube.delete("/running-query/{request_id}", summary="Stop a question")
async def stop(request_id: str, request: Request, service: Service) -> Response:
    """Stop what runs for the caller's own request of that `x-request-id`, unless others wait for the same; else 404."""
    requester = requester_of(request_id, await current_principal(request))
    return Response(service.cancel(request_id, requester), media_type="application/json")


@cube.get("/sql", summary="The SQL of a question")
@cube.post("/sql", summary="The SQL of a question", openapi_extra=_QUERY)
async def sql(request: Request, service: Service, context: ContextDep) -> Response:
    """For operators: the ClickHouse SQL with its bound parameters, row filters included; nothing is run."""
    given = await given_in(request)
    return await answered(service.sql(given.get("query"), context), request)


@cube.get("/dry-run", summary="Check a question")
@cube.post("/dry-run", summary="Check a question", openapi_extra=_QUERY)
async def dry_run(request: Request, service: Service, context: ContextDep) -> Response:
    """The question as it was understood; nothing is run."""
    given = await given_in(request)
    return await answered(service.dry_run(given.get("query"), context), request)


@cube.get("/meta", summary="What can be asked")
async def meta(request: Request, service: Service, context: ContextDep) -> Response:
    """Cubes, views and their members, as far as the caller may see them; `?extended` adds SQL, joins and rollups."""
    flags = request.query_params
    only_views = flags.get("onlyViews", "").lower() == "true"
    extended = flags.get("extended", "false").lower() != "false"
    return await answered(service.meta(context, extended=extended, only_views=only_views), request)


health = APIRouter(include_in_schema=False, dependencies=[Depends(limited("none"))])


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


def noted(trail: Trail, context: SecurityContext) -> Callable[[Seen], Awaitable[None]]:
    """What is told of an answer before anybody gets it: whose data the caller sees in it."""

    async def note(seen: Seen) -> None:
        for school_id in schools_of(context):
            await trail.note(seen.subjects, school_id=school_id, members=seen.members, rows=seen.rows)

    return note


def schools_of(context: SecurityContext) -> Sequence[int | None]:
    """The schools that are told: each one of somebody who reads several, for pseudonyms do not say whose they are."""
    several = context.attributes.get("school_ids") if context.attributes.get("school_id") is None else None
    return list(several or [None])


def requester_of(request_id: str | None, caller: Principal) -> Hashable | None:
    """One request of one caller, whichever span of it: `<id>-span-3`."""
    if not request_id:
        return None
    return _SPAN.sub("", request_id), caller.role, caller.user_id, caller.subject


async def given_in(request: Request) -> dict[str, Any]:
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


async def _words(request: Request) -> Hashable:
    """All that the caller sent and `given_in` reads."""
    return request.scope["query_string"], b"" if request.method == "GET" else await request.body()


async def answered(work: Awaitable[bytes], request: Request) -> Response:
    """The body that `work` makes; it is stopped when the caller goes away."""
    body = await while_connected(work, lambda: _disconnected(request))
    return Response(body or b"", 200 if body else 499, media_type="application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(error: EduError) -> Response:
    """An error in Cube's shape; what the planner refuses is a `UserError`. Beside Cube's keys stand ours."""
    if isinstance(error, Unauthenticated):
        return _json({"error": error.message if error.code == "no_token" else "Invalid token"}, 403)
    if isinstance(error, ContinueWait):
        return _json(stage_body(**error.details), 200)
    if isinstance(error, Unavailable):
        log.warning("query_failed", code=error.code, reason=error.message, cause=error.details.get("cause"))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
    return _json(refusal_body(error), error.status, headers)


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
