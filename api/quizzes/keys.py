"""/api/v1/quizzes/{id}/questions/{id}/key: a corrected answer key, and every answer marked anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.audit.trail import Trail, audited
from api.deps import ServicesDep, require
from api.envelope import Envelope, ok
from api.fields import Id
from api.quizzes.regrades import KeyChange, NewKey, Regrade, RegradePreview, Regrades
from api.quizzes.routes import QuizzesDep
from api.scope import ScopeDep

router = APIRouter(
    prefix="/quizzes/{quiz_id}/questions/{question_id}/key",
    tags=["quizzes"],
    dependencies=[Depends(require("teacher", "admin"))],
)


async def regrades(services: ServicesDep, quizzes: QuizzesDep, scope: ScopeDep) -> Regrades:
    """Corrected keys for the caller."""
    return Regrades(services, quizzes, scope)


RegradesDep = Annotated[Regrades, Depends(regrades)]


@router.get("")
async def list_keys(
    quiz_id: Id, question_id: Id, regrades: RegradesDep, trail: Annotated[Trail, Depends(audited("key.history"))]
) -> Envelope[list[KeyChange]]:
    """The keys that the question had, who corrected them, and what came of it."""
    found = await regrades.history(quiz_id, question_id)
    await trail.note([each.changed_by for each in found if each.changed_by])
    return ok(found)


@router.post("/preview")
async def preview_key(
    quiz_id: Id,
    question_id: Id,
    wish: NewKey,
    regrades: RegradesDep,
    trail: Annotated[Trail, Depends(audited("key.previewed"))],
) -> Envelope[RegradePreview]:
    """What another key would change: how many answers, whose points go up or down; nothing is changed."""
    found = await regrades.preview(quiz_id, question_id, wish)
    await trail.note([each.student_id for each in found.students])
    return ok(found)


@router.put("", status_code=202)
async def correct_key(
    quiz_id: Id,
    question_id: Id,
    wish: NewKey,
    regrades: RegradesDep,
    trail: Annotated[Trail, Depends(audited("key.corrected"))],
) -> Envelope[Regrade]:
    """Correct the key and mark every answer anew, in all reports; `null`: the question does not count."""
    return ok(
        await regrades.change(trail, quiz_id, question_id, wish), "The key is corrected; answers are marked anew."
    )
