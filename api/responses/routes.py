"""/api/v1/responses."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import Example
from pydantic import ValidationError
from starlette.responses import Response as HttpResponse

from api.audit.trail import Trail, audited
from api.auth.scopes import TokenScope
from api.deps import Services, ServicesDep, require
from api.envelope import Envelope, JsonResponse, Page, ok
from api.events.service import items_of
from api.fields import Id, PagingDep
from api.limits.rates import limited
from api.responses import store
from api.responses.schemas import NewResponse, Outcome, Outcomes, Response
from api.responses.service import Responses, refused
from api.scope import Scope, ScopeDep
from core.errors import EduError
from ingestion.responses import Responder

router = APIRouter(prefix="/responses", tags=["responses"], dependencies=[Depends(require(scope=TokenScope.RESPONSES))])
_ONE = {"student_id": 101, "question_id": 45, "answer": "B", "time_spent": 38.5, "client_id": "tablet-17-000124"}
_EXAMPLES = {
    "one": Example(summary="One answer", value=_ONE),
    "bulk": Example(summary="Many; each has its own outcome", value={"responses": [_ONE]}),
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
)
async def submit_responses(
    body: Annotated[Any, Body(openapi_examples=_EXAMPLES)],
    responses: ResponsesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("responses.sent"))],
    idempotency_key: Annotated[str | None, Header(max_length=200, description="Stands for client_id.")] = None,
) -> HttpResponse:
    """Submit one answer or many; the reply comes after they are committed. The server grades.

    A retry with the same client_id (or Idempotency-Key) gives the first answer again, as `duplicate`."""
    if isinstance(body, dict) and set(body) != {"responses"}:
        outcome = await _submit_one(responses, scope, body, idempotency_key)
        await _note(trail, [outcome])
        status = 201 if outcome.status == "accepted" else 200
        return _answer(outcome, "Answer kept." if status == 201 else "This answer is known.", status)
    raw = items_of(body, "responses")
    wishes: list[NewResponse | Outcome] = [_read_item(item, number) for number, item in enumerate(raw)]
    good = [wish for wish in wishes if isinstance(wish, NewResponse)]
    taken = iter((await responses.submit_all(scope, good)).items)
    items: list[Outcome] = [next(taken) if isinstance(wish, NewResponse) else wish for wish in wishes]
    pairs = [(item, told) for item, told in zip(raw, items, strict=True) if told.status == "rejected"]
    await responses.bury(scope, pairs)
    await _note(trail, items)
    outcomes = _counted(items)
    return _answer(outcomes, "Taken.", 201 if outcomes.accepted else 200)


async def _submit_one(responses: Responses, scope: Scope, body: Any, idempotency_key: str | None) -> Outcome:
    """One answer; why it is refused is kept, and told as an error."""
    try:
        wish = _read(body, ())
        if idempotency_key and wish.client_id is None:
            wish = wish.model_copy(update={"client_id": idempotency_key})
        return await responses.submit(scope, wish)
    except RequestValidationError:
        if isinstance(told := _read_item(body, 0), Outcome):
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


def _read_item(item: Any, number: int) -> NewResponse | Outcome:
    try:
        return NewResponse.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or None
        return Outcome(status="rejected", reason="invalid_field", field=field, message=f"Item {number}: {first['msg']}")


def _counted(items: list[Outcome]) -> Outcomes:
    counts = {status: sum(item.status == status for item in items) for status in ("accepted", "duplicate", "rejected")}
    return Outcomes(items=items, **counts)


def _answer(data: Outcome | Outcomes, message: str, status: int) -> HttpResponse:
    body = {"success": True, "message": message, "data": data.model_dump(mode="json", exclude_none=True)}
    return JsonResponse(body, status)
