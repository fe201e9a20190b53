"""/api/v1/invitations."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from api.audit.trail import Trail, audited
from api.auth.invitations.schemas import Invitation, MadeInvitation, NewInvitation
from api.auth.invitations.service import Invitations
from api.deps import ServicesDep, require
from api.envelope import Envelope, Page, ok
from api.fields import PagingDep
from api.scope import ScopeDep

router = APIRouter(prefix="/invitations", tags=["accounts"], dependencies=[Depends(require("admin", "teacher"))])


def invitations(services: ServicesDep) -> Invitations:
    """The invitations of the record."""
    fed = services.ingestion
    return Invitations(services.postgres, fed.postman, fed.accounts.sessions.secret)


InvitationsDep = Annotated[Invitations, Depends(invitations)]


@router.get("")
async def list_invitations(
    invitations: InvitationsDep,
    scope: ScopeDep,
    paging: PagingDep,
    trail: Annotated[Trail, Depends(audited("invitation.listed"))],
) -> Envelope[Page[Invitation]]:
    """The invitations of your school, the newest first; a teacher's own for the classrooms that are his."""
    found = await invitations.page(scope, paging)
    await trail.note(rows=len(found.items))
    return ok(found)


@router.post("", status_code=201)
async def invite(wish: NewInvitation, invitations: InvitationsDep, scope: ScopeDep) -> Envelope[MadeInvitation]:
    """Make a join code for many, or invite one address by mail.

    An admin for his school; a teacher students into a classroom of his. The code is told this once."""
    return ok(await invitations.make(scope, wish), "Invitation made.")


@router.delete("/{invitation_id}")
async def revoke_invitation(invitation_id: UUID, invitations: InvitationsDep, scope: ScopeDep) -> Envelope[Invitation]:
    """Take an invitation back: its code is not good any more; who used it stays."""
    return ok(await invitations.revoke(scope, invitation_id), "Invitation taken back.")
