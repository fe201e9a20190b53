"""/cubejs-api/v1: cubesql, convert-query; pre-aggregations, of which none is built. Cube's shapes, also for errors."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.audit.refusals import note_refusal
from api.audit.trail import Trail, audited
from api.deps import ContextDep, current_principal, get_services, security_context
from api.queries.refusals import REFUSALS, refusal_body
from api.queries.routes import CUBE, RULE, CubeRoute, Service, answered, given_in, noted, queries, requester_of
from api.queries.sqlapi import SqlQuestions
from core.errors import BadInput, EduError, InvalidQuery, NotBuilt, QueryError, TooLarge

Json = dict[str, Any]
router = APIRouter(prefix=CUBE, tags=["Cube queries"], dependencies=RULE, route_class=CubeRoute, responses=REFUSALS)
_UNBUILT = "No rollup is built in this version: every answer comes from the raw tables."
_SQL = "SELECT title, MEASURE(responses.count) FROM quizzes CROSS JOIN responses GROUP BY 1 LIMIT 10"
_EXAMPLES: dict[str, Json] = {
    "cubesql": {"query": _SQL, "timezone": "Europe/Vienna"},
    "convert": {"input": "sql", "output": "rest", "query": _SQL},
    "can-use": {"transformedQuery": {}, "references": {}},
    "jobs": {"action": "get", "tokens": []},
}


def _example(name: str) -> Json:
    return {"requestBody": {"content": {"application/json": {"example": _EXAMPLES[name]}}}}


@router.post("/cubesql", summary="Ask a question in SQL", openapi_extra=_example("cubesql"))
async def cubesql(request: Request, trail: Annotated[Trail, Depends(audited("query.answered"))]) -> Response:
    """JSON lines: the schema, then rows. With `throwContinueWait` as /load: `Continue wait`, refusals by status.

    Without it the answer is a stream as Cube's: it waits for the rows, and a refusal is a line `{"error", …}` of it.
    """
    principal, service = await current_principal(request), await queries(request)
    context, given = await security_context(request), await given_in(request)
    settings, waits = get_services(request).settings, given.get("throwContinueWait") is True
    work = SqlQuestions(service.engine, settings).lines(
        given.get("query"),
        context,
        timezone=_text(given, "timezone"),
        cache=_text(given, "cache"),
        wait=settings.continue_wait_seconds if waits else None,
        requester=requester_of(request.headers.get("x-request-id"), principal),
        note=noted(trail, context),
    )
    try:
        return await answered(work, request)
    except (BadInput, TooLarge) as error:
        if waits:
            raise
        return _line(await note_refusal(request, error))


@router.get("/convert-query", summary="A question in SQL as JSON")
@router.post("/convert-query", summary="A question in SQL as JSON", openapi_extra=_example("convert"))
async def convert(request: Request, service: Service, context: ContextDep) -> Response:
    """The question that a SQL text asks, as `/load` takes it; nothing is run."""
    given = await given_in(request)
    for key, wanted in (("input", "sql"), ("output", "rest")):
        if given.get(key) != wanted:
            problem = f"Unexpected {key} parameter value '{str(given.get(key) or '')[:50]}'"
            raise InvalidQuery(problem, hint='Send {"input": "sql", "output": "rest", "query": "SELECT …"}.')
    questions = SqlQuestions(service.engine, get_services(request).settings)
    try:
        return await answered(
            questions.converted(given.get("query"), context, timezone=_text(given, "timezone")), request
        )
    except QueryError as error:
        return _json({"status": "error"} | refusal_body(error), error.status)


@router.post(
    "/pre-aggregations/can-use", summary="Whether a rollup serves a question", openapi_extra=_example("can-use")
)
async def can_use(request: Request) -> Response:
    """None does, for none is built; `/dry-run` tells which of the model's could."""
    await given_in(request)
    return _json({"canUsePreAggregationForTransformedQuery": False, "reason": f"{_UNBUILT} Ask /dry-run."})


@router.post("/pre-aggregations/jobs", summary="Rollups under way", openapi_extra=_example("jobs"))
async def jobs(request: Request) -> Response:
    """`get`: what became of jobs, of which there are none. `post` would build rollups: refused."""
    given = await given_in(request)
    action = given.get("action")
    if action == "get":
        return _json({} if given.get("resType") == "object" else [])
    if action == "post":
        raise NotBuilt(_UNBUILT, hint="Ask /load; /dry-run tells which rollups of the model could serve a question.")
    raise InvalidQuery(f"The '{str(action)[:50]}' action type doesn't supported.", hint="Send post or get.")


def _text(given: Json, key: str) -> str | None:
    """A text of the body; anything else in its place is left to the check of the question."""
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidQuery(f'Invalid query format: "{key}" must be a string', path=key)
    return value or None


def _line(error: EduError) -> Response:
    return Response(orjson.dumps(refusal_body(error)) + b"\n", media_type="application/json")


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
