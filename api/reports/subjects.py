"""What a report is about must be the caller's to see in the directory too, not in the numbers only."""

from __future__ import annotations

from typing import Any

from api.deps import Services
from api.principal import Principal
from api.quizzes import store as quizzes
from api.scope import Scope
from core.errors import NotFound
from engine.query.access import SecurityContext


async def check_subject(
    services: Services, caller: Principal, context: SecurityContext, values: dict[str, Any]
) -> None:
    """A teacher runs no report on a quiz that is neither his to see nor taken by a class of his.

    Raises `NotFound`. The model shows every teacher the titles of his school's quizzes, so it cannot tell; without a
    record its word holds."""
    quiz_id = values.get("quiz_id")
    if services.record is None or caller.role not in ("teacher", "student") or quiz_id is None:
        return
    scope = Scope(caller, tuple(context.attributes.get("classroom_ids") or ()))
    if not await quizzes.measured(services.record, scope.parameters, quiz_id):
        raise NotFound("There is no such thing here, or it is not yours to see.")
