"""/api/v1/responses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from api.audit.trail import Trail, audited
from api.auth.scopes import TokenScope
from api.bodies import NDJSON, read_json
from api.deps import Services, ServicesDep, current_principal, require
from api.envelope import Envelope, JsonResponse, Page, ok
from api.events.service import items_of
from api.fields import Id, PagingDep
from api.limits.rates import limited
from api.lines import take_lines
from api.responses import store
from api.responses.schemas import NewResponse, Outcome, Outcomes, Response
from api.responses.service import Responses, read_item, read_line, refused
from api.scope import Scope, ScopeDep
from api.scope import scope as scope_of
from core.errors import EduError, TooMany
from ingestion.responses import Responder

router = APIRouter(prefix="/responses", tags=["responses"], dependencies=[Depends(require(scope=TokenScope.RESPONSES))])
_ONE = {"student_id": 101, "question_id": 45, "answer": "B", "time_spent": 38.5, "client_id": "tablet-17-000124"}
_EXAMPLES = {
    "one": {"summary": "One answer", "value": _ONE},
    "bulk": {"summary": "Many; each has its own outcome", "value": {"responses": [_ONE]}},
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {}, "examples": _EXAMPLES},
        "application/x-ndjson": {
            "schema": {"type": "string", "description": "One answer a line, as many as you like."}
        },
    },
}


def responses_of(services: Services) -> Responses:
    """Answers into the record."""
    writer = services.ingestion.writer
    return Responses(services.postgres, Responder(services.postgres, writer), writer)


def responses(services: ServicesDep) -> Responses:
    """`responses_of` for a route."""
    return responses_of(services)


ResponsesDep = Annotated[Responses, Depends(responses)]


@router.post(
    "",
    dependencies=[Depends(limited("events"))],
    status_code=201,
    responses={200: {"description": "All were known already, or some were refused."}},
    openapi_extra={"requestBody": _BODY},
)
async def submit_responses(
    request: Request,
    services: ServicesDep,
    responses: ResponsesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("responses.sent"))],
    idempotency_key: Annotated[str | None, Header(max_length=200, description="Stands for client_id.")] = None,
) -> HttpResponse:
    """Submit one answer or many; the reply comes after they are committed. The server grades.

    A retry with the same client_id (or Idempotency-Key) gives the first answer again, as `duplicate`. Bodies may come
    compressed (`Content-Encoding: gzip` or `zstd`). A stream (`application/x-ndjson`, one answer a line) is committed
    as it comes; its reply counts the outcomes and lists those that are not `accepted`, by line."""
    if services.ingestion.writer.full:
        raise TooMany("The queue of accepted input is full.", retry_after=1)
    if request.headers.get("content-type", "").encode("latin-1").startswith(NDJSON):
        return await _submit_lines(request, services, responses, trail)
    body = read_json(await request.body() or b"[]")
    if isinstance(body, dict) and set(body) != {"responses"}:
        outcome = await _submit_one(responses, scope, body, idempotency_key)
        await _note(trail, [outcome])
        status = 201 if outcome.status == "accepted" else 200
        return _answer(outcome, "Answer kept." if status == 201 else "This answer is known.", status)
    raw = items_of(body, "responses")
    items = await responses.take(scope, raw, [read_item(item, f"Item {number}: ") for number, item in enumerate(raw)])
    await _note(trail, items)
    outcomes = _counted(items)
    return _answer(outcomes, "Taken.", 201 if outcomes.accepted else 200)


async def _submit_lines(request: Request, services: Services, responses: Responses, trail: Trail) -> HttpResponse:
    """A stream, one answer a line: each group is judged by what its sender may do when it comes."""
    caller = await current_principal(request)

    async def take(items: list[Any]) -> list[Outcome]:
        scope = await scope_of(caller, services)
        outcomes = await responses.take(scope, items, [read_item(item) for item in items])
        await _note(trail, outcomes)
        return outcomes

    told = await take_lines(request.stream(), read_line, take, partial(services.identities.confirm, caller))
    body = {"success": True, "message": "Taken.", "data": told}
    return JsonResponse(body, 201 if told["accepted"] else 200)


async def _submit_one(responses: Responses, scope: Scope, body: Any, idempotency_key: str | None) -> Outcome:
    """One answer; why it is refused is kept, and told as an error."""
    try:
        wish = _read(body, ())
        if idempotency_key and wish.client_id is None:
            wish = wish.model_copy(update={"client_id": idempotency_key})
        return await responses.submit(scope, wish)
    except RequestValidationError:
        if isinstance(told := read_item(body, "Item 0: "), Outcome):
            await responses.bury(scope, [(body, told)])
        raise
    except EduError as error:
        if error.status < HTTPStatus.TOO_MANY_REQUESTS:
            await responses.bury(scope, [(body, refused(error))])
        raise


async def _note(trail: Trail, outcomes: Sequence[Outcome]) -> None:
    """Answers that somebody gave for others; his own stand in the record under his name."""
    own = trail.principal.user_id if trail.principal else None
    students = {
        each.student_id for each in outcomes if each.status == "accepted" and each.student_id not in (None, own)
    }
    if students:
        await trail.note((number for number in students if number is not None), answers=len(outcomes))


@router.get("")
async def list_responses(
    services: ServicesDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("responses.read"))],
    student_id: Id | None = None,
    quiz_id: Id | None = None,
    classroom_id: Id | None = None,
    session_id: Id | None = None,
    question_id: Id | None = None,
) -> Envelope[Page[Response]]:
    """The answers that you see, the newest first: a student his own, a teacher those of his classrooms."""
    wanted = {
        "student_id": student_id,
        "quiz_id": quiz_id,
        "classroom_id": classroom_id,
        "session_id": session_id,
        "question_id": question_id,
    }
    rows, total = await store.page(services.postgres, scope.parameters, paging, **wanted)
    await trail.note({row["student_id"] for row in rows}, rows=len(rows))
    items = [Response(**row) for row in rows]
    return ok(Page[Response](items=items, page=paging.page, page_size=paging.page_size, total=total))


def _read(item: Any, place: tuple[Any, ...]) -> NewResponse:
    try:
        return NewResponse.model_validate(item)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *place, *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None


def _counted(items: list[Outcome]) -> Outcomes:
    counts = {status: sum(item.status == status for item in items) for status in ("accepted", "duplicate", "rejected")}
    return Outcomes(items=items, **counts)


def _answer(data: Outcome | Outcomes, message: str, status: int) -> HttpResponse:
    body = {"success": True, "message": message, "data": data.model_dump(mode="json", exclude_none=True)}
    return JsonResponse(body, status)
