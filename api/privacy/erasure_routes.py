"""/api/v1/users/{id}/erasure, /api/v1/erasures, /api/v1/holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints
from starlette.responses import HTMLResponse, Response

from api.audit.trail import Trail, audited
from api.deps import ServicesDep, require
from api.envelope import Envelope, Page, ok
from api.fields import Body, Id, PagingDep
from api.privacy import certificate, holds
from api.privacy.erasures import Erasure, Erasures, Preview
from api.scope import ScopeDep

router = APIRouter(tags=["privacy"], dependencies=[Depends(require("admin"))])


class Wish(Body):
    """The confirmation that the preview gave."""

    confirmation: Annotated[str, StringConstraints(min_length=1, max_length=100)]


async def erasures(services: ServicesDep, scope: ScopeDep) -> Erasures:
    """Erasures for the caller."""
    return Erasures(services, scope)


ErasuresDep = Annotated[Erasures, Depends(erasures)]


@router.get("/users/{user_id}/erasure")
async def preview_erasure(
    user_id: Id, erasures: ErasuresDep, trail: Annotated[Trail, Depends(audited("erasure.previewed"))]
) -> Envelope[Preview]:
    """What an erasure would take away, with counts; nothing is changed."""
    found = await erasures.preview(user_id)
    await trail.note([user_id])
    return ok(found)


@router.post("/users/{user_id}/erasure", status_code=202)
async def erase_person(
    user_id: Id, wish: Wish, erasures: ErasuresDep, trail: Annotated[Trail, Depends(audited("erasure.asked"))]
) -> Envelope[Erasure]:
    """Erase a person everywhere: the account is closed at once, the rest follows in moments; it cannot be undone."""
    return ok(await erasures.ask(trail, user_id, wish.confirmation), "The account is closed; its data goes now.")


@router.get("/erasures")
async def list_erasures(
    erasures: ErasuresDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("erasure.listed"))],
    user_id: Annotated[Id | None, Query(description="Of this person only.")] = None,
) -> Envelope[Page[Erasure]]:
    """Erasures of your school (operators: all), the newest first, with their certificates."""
    items, total = await erasures.page(paging, user_id)
    await trail.note([each.person for each in items])
    return ok(Page[Erasure](items=items, page=paging.page, page_size=paging.page_size, total=total))


@router.get("/erasures/{erasure_id}")
async def get_erasure(
    erasure_id: Id, erasures: ErasuresDep, trail: Annotated[Trail, Depends(audited("erasure.read"))]
) -> Envelope[Erasure]:
    """How far an erasure is; its certificate when it is done."""
    found = await erasures.one(erasure_id)
    await trail.note([found.person])
    return ok(found)


@router.get(
    "/erasures/{erasure_id}/certificate", response_class=Response, responses={200: {"content": {"text/html": {}}}}
)
async def print_certificate(
    erasure_id: Id, erasures: ErasuresDep, trail: Annotated[Trail, Depends(audited("erasure.printed"))]
) -> HTMLResponse:
    """The certificate as a page to print."""
    found = await erasures.one(erasure_id)
    await trail.note([found.person])
    return certificate.page(found)


@router.get("/holds")
async def list_holds(
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("hold.listed"))],
    released: Annotated[bool, Query(description="Also those that do not stand any more.")] = False,
) -> Envelope[list[holds.Hold]]:
    """Legal holds of your school (operators: all)."""
    found = await holds.list_holds(services, scope, released=released)
    await trail.note([each.user_id for each in found if each.user_id])
    return ok(found)


@router.post("/holds", status_code=201)
async def set_hold(
    wish: holds.NewHold,
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("hold.set"))],
) -> Envelope[holds.Hold]:
    """Nothing of this person, or of this school, is erased or dropped until you release it."""
    return ok(await holds.set_hold(services, scope, trail, wish), "The hold stands.")


@router.delete("/holds/{hold_id}")
async def release_hold(
    hold_id: Id, services: ServicesDep, scope: ScopeDep, trail: Annotated[Trail, Depends(audited("hold.released"))]
) -> Envelope[holds.Hold]:
    """Release a hold; an erasure that waited for it goes on."""
    return ok(await holds.release(services, scope, trail, hold_id), "Released.")
