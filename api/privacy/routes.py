"""/api/v1/users/{id}/export, and the schools that an analyst reads."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from api.audit.trail import Trail, audited
from api.deps import Services, ServicesDep, require
from api.directory import store as directory
from api.envelope import Envelope, ok
from api.fields import Id
from api.privacy import grants
from api.privacy.archive import make_archive, pieces
from api.scope import Scope, ScopeDep
from core.errors import Forbidden, NotFound, TooMany
from ingestion.archive.store import open_store

router = APIRouter(prefix="/users/{user_id}", tags=["privacy"], dependencies=[Depends(require())])
_OPERATOR = [Depends(require("operator"))]
_slots = asyncio.Semaphore(2)  # never waited for: a third export at once is refused


class GrantedSchool(BaseModel):
    """A school that an analyst may read."""

    school_id: int
    granted_at: datetime
    shared: bool = Field(description="Whether the school shares its data now; if not, the analyst sees nothing of it.")


@router.post("/export", response_class=StreamingResponse, responses={200: {"content": {"application/zip": {}}}})
async def export_person(
    user_id: Id,
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("user.exported"))],
) -> StreamingResponse:
    """Everything about one person as a ZIP of JSON and CSV: for himself, an admin of his school, an operator."""
    user = await directory.one(services.postgres, "users", scope.parameters, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    _check_export(services, scope, user_id)
    if _slots.locked():
        raise TooMany("Other exports are being made.", retry_after=5)
    async with _slots:
        async with services.postgres.transaction() as connection:
            await trail.record(connection, [user_id], school_id=user["school_id"])
        await services.audit.flush()
        file = await asyncio.to_thread(make_archive, services.postgres.url, user_id, open_store(services.settings))
    name = f'attachment; filename="person_{user_id}.zip"'
    return StreamingResponse(pieces(file), media_type="application/zip", headers={"Content-Disposition": name})


def _check_export(services: Services, scope: Scope, user_id: int) -> None:
    own = user_id == scope.principal.user_id
    if not scope.whole_school and not (own and services.settings.self_export):
        raise Forbidden("An admin of the school exports a person's data.")


@router.get("/schools", dependencies=_OPERATOR)
async def list_granted(
    user_id: Id, services: ServicesDep, trail: Annotated[Trail, Depends(audited("grant.listed"))]
) -> Envelope[list[GrantedSchool]]:
    """The schools that an analyst may read (operators)."""
    await _check_analyst(services, user_id)
    rows = await grants.granted(services.postgres, user_id)
    await trail.note([user_id])
    return ok([GrantedSchool(**row) for row in rows])


@router.put("/schools/{school_id}", dependencies=_OPERATOR)
async def grant_school(
    user_id: Id,
    school_id: Id,
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("grant.given"))],
) -> Envelope[list[GrantedSchool]]:
    """Let an analyst read a school (operators); again has no effect."""
    await _check_analyst(services, user_id)
    await _find_school(services, scope.parameters, school_id)
    async with services.postgres.transaction() as connection:
        if await grants.grant(connection, user_id, school_id, scope.principal.user_id):
            await trail.record(connection, [user_id], school_id=school_id)
    services.identities.forget()
    return ok([GrantedSchool(**row) for row in await grants.granted(services.postgres, user_id)], "Granted.")


@router.delete("/schools/{school_id}", dependencies=_OPERATOR)
async def withdraw_school(
    user_id: Id,
    school_id: Id,
    services: ServicesDep,
    trail: Annotated[Trail, Depends(audited("grant.withdrawn"))],
) -> Envelope[list[GrantedSchool]]:
    """Take a school from an analyst (operators); again has no effect."""
    await _check_analyst(services, user_id)
    async with services.postgres.transaction() as connection:
        if await grants.withdraw(connection, user_id, school_id):
            await trail.record(connection, [user_id], school_id=school_id)
    services.identities.forget()
    return ok([GrantedSchool(**row) for row in await grants.granted(services.postgres, user_id)], "Withdrawn.")


async def _check_analyst(services: Services, user_id: int) -> None:
    if not await grants.is_analyst(services.postgres, user_id):
        raise NotFound("There is no such analyst.")


async def _find_school(services: Services, scope: dict[str, Any], school_id: int) -> None:
    if await directory.one(services.postgres, "schools", scope, school_id) is None:
        raise NotFound("There is no such school.")
