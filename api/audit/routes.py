"""/api/v1/audit: who saw or changed whose data."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.audit import store
from api.audit.chain import verify
from api.audit.trail import Trail, audited
from api.deps import ServicesDep, require
from api.envelope import Envelope, Page, ok
from api.fields import Id, Moment, PagingDep
from api.scope import ScopeDep

router = APIRouter(prefix="/audit", tags=["audit"])
_ACTION = "^[a-z]+(\\.[a-z_]+)?$"
_HEAD = "^[0-9]{1,18}:[0-9a-f]{64}$"


class Line(BaseModel):
    """One line of the log; numbers instead of names."""

    chain: int = Field(description="The line's number, without gaps over all schools.")
    audit_id: UUID
    school_id: int | None
    actor_id: int | None
    actor_role: str
    action: str = Field(examples=["user.read"])
    target: str | None
    subjects: list[int] = Field(description="The people whose data it was.")
    outcome: str
    request_id: str | None
    details: dict[str, Any]
    occurred_at: datetime
    received_at: datetime
    hash: str = Field(description="SHA-256 of the hash before and of the line.")


class Chain(BaseModel):
    """Whether the log is whole."""

    lines: int
    whole: bool
    head: str | None = Field(description="The newest line's number and hash; keep it outside to know a cut end.")
    broken_at: int | None
    problem: str | None


@router.get("", dependencies=[Depends(require("admin"))])
async def list_lines(
    services: ServicesDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("audit.read"))],
    actor_id: Annotated[Id | None, Query(description="Who did it.")] = None,
    subject_id: Annotated[Id | None, Query(description="Whose data it was.")] = None,
    action: Annotated[
        str | None, Query(max_length=100, pattern=_ACTION, description="`user.read`, or all of a kind: `user`.")
    ] = None,
    outcome: Literal["done", "refused"] | None = None,
    start: Annotated[Moment | None, Query(alias="from", description="From this moment on.")] = None,
    stop: Annotated[Moment | None, Query(alias="to", description="Before this moment.")] = None,
) -> Envelope[Page[Line]]:
    """Who saw or changed whose data, the newest first: an admin those of his school, an operator all."""
    await services.audit.flush()
    wanted = {"actor_id": actor_id, "subject_id": subject_id, "action": action, "outcome": outcome}
    rows, total = await store.page(services.postgres, scope.parameters, paging, **wanted, start=start, stop=stop)
    await trail.note([subject_id] if subject_id else (), rows=len(rows))
    return ok(
        Page[Line](items=[Line(**row) for row in rows], page=paging.page, page_size=paging.page_size, total=total)
    )


@router.get("/verification", dependencies=[Depends(require("operator"))])
async def verify_chain(
    services: ServicesDep,
    trail: Annotated[Trail, Depends(audited("audit.verified"))],
    head: Annotated[
        str | None, Query(pattern=_HEAD, description="`number:hash` of a line that was there before and must be still.")
    ] = None,
) -> Envelope[Chain]:
    """Compute every hash of the log again (operators)."""
    await services.audit.flush()
    found = await asyncio.to_thread(verify, services.postgres.url, head)
    await trail.note(lines=found.lines, whole=found.whole)
    return ok(Chain(**asdict(found)), "The log is whole." if found.whole else "The log is broken.")
