"""/api/v1/quizzes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.auth.scopes import TokenScope
from api.deps import ServicesDep, require
from api.envelope import Envelope, Page, ok
from api.fields import Id, Name, PagingDep
from api.quizzes.schemas import NewQuiz, Quiz, QuizHead, QuizVersion
from api.quizzes.service import Quizzes
from api.scope import ScopeDep

router = APIRouter(prefix="/quizzes", tags=["quizzes"], dependencies=[Depends(require(scope=TokenScope.QUIZZES))])
_MAKERS = [Depends(require("teacher", "admin", scope=TokenScope.QUIZZES))]


def quizzes(services: ServicesDep) -> Quizzes:
    """The quizzes of the record."""
    return Quizzes(services.postgres, services.ingestion.acceptor)


QuizzesDep = Annotated[Quizzes, Depends(quizzes)]


@router.post("", status_code=201, dependencies=_MAKERS)
async def create_quiz(wish: NewQuiz, quizzes: QuizzesDep, scope: ScopeDep) -> Envelope[Quiz]:
    """Make a quiz with its questions (teachers in their classrooms, admins)."""
    return ok(await quizzes.create(scope, wish), "Quiz created.")


@router.get("")
async def list_quizzes(
    quizzes: QuizzesDep,
    scope: ScopeDep,
    paging: PagingDep,
    classroom_id: Id | None = None,
    subject: Name | None = None,
    school_id: Id | None = None,
) -> Envelope[Page[QuizHead]]:
    """The quizzes that you see, the newest first."""
    items, total = await quizzes.page(scope, paging, classroom_id=classroom_id, subject=subject, school_id=school_id)
    return ok(Page[QuizHead](items=items, page=paging.page, page_size=paging.page_size, total=total))


@router.get("/{quiz_id}")
async def get_quiz(quiz_id: Id, quizzes: QuizzesDep, scope: ScopeDep) -> Envelope[Quiz]:
    """One quiz with its questions; students do not get the key."""
    return ok(await quizzes.get(scope, quiz_id))


@router.put("/{quiz_id}", dependencies=_MAKERS)
async def change_quiz(quiz_id: Id, wish: QuizVersion, quizzes: QuizzesDep, scope: ScopeDep) -> Envelope[Quiz]:
    """The next version of a quiz; a question sent with its id and unchanged keeps it."""
    return ok(await quizzes.change(scope, quiz_id, wish), "New version made.")


@router.delete("/{quiz_id}", dependencies=_MAKERS)
async def delete_quiz(quiz_id: Id, quizzes: QuizzesDep, scope: ScopeDep) -> Envelope[None]:
    """Take a quiz out of sight; what was answered stays in the reports."""
    await quizzes.delete(scope, quiz_id)
    return ok(None, "Quiz deleted.")
