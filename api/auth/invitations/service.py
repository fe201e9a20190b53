"""Who may ask whom in: an admin anybody into his school, a teacher students into his classroom."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from api.audit.trail import record
from api.auth.codes import JOIN_LENGTH, MAILED_LENGTH, code_hash, new_code
from api.auth.invitations import store
from api.auth.invitations.schemas import Invitation, MadeInvitation, NewInvitation
from api.auth.mail import letters
from api.auth.mail.postman import Postman
from api.directory import store as directory
from api.envelope import Page
from api.fields import Paging
from api.scope import Scope
from core.errors import Forbidden, InvalidField, NotFound
from core.ids import new_id
from core.postgres import Postgres
from core.telemetry import log

_USES = 40


@dataclass
class Invitations:
    """Join codes and invitations by mail."""

    postgres: Postgres
    postman: Postman
    secret: bytes

    async def make(self, scope: Scope, wish: NewInvitation) -> MadeInvitation:
        """A new one; raises `Forbidden`, `NotFound` or `InvalidField`."""
        _check(scope, wish)
        school_id = scope.school_for(wish.school_id)
        await self._check_place(scope, school_id, wish)
        code = new_code(MAILED_LENGTH if wish.email else JOIN_LENGTH)
        async with self.postgres.transaction() as connection:
            row = await store.insert(
                connection,
                id=new_id(),
                school_id=school_id,
                code_hash=code_hash(self.secret, code),
                created_by=scope.principal.user_id,
                max_uses=1 if wish.email else wish.max_uses or _USES,
                **wish.model_dump(include={"role", "classroom_id", "email", "days"}),
            )
            if wish.email:
                await letters.write(
                    connection, "invitation", wish.email, wish.language, days=wish.days, invitation_id=row["id"]
                )
            told = {"school_id": school_id, "target": f"invitation={row['id']}", "role": wish.role}
            await record(connection, scope.principal, "invitation.made", **told)
        self.postman.wake()
        log.info("invitation_made", invitation_id=row["id"], school_id=school_id, role=wish.role)
        return MadeInvitation(**row, code=None if wish.email else code)

    async def _check_place(self, scope: Scope, school_id: int, wish: NewInvitation) -> None:
        if await directory.one(self.postgres, "schools", scope.parameters, school_id) is None:
            raise NotFound("There is no such school.", field="school_id")
        if wish.classroom_id is None:
            return
        room = await directory.one(self.postgres, "classrooms", scope.parameters, wish.classroom_id)
        if room is None or room["school_id"] != school_id:
            raise NotFound("There is no such classroom.", field="classroom_id")

    async def page(self, scope: Scope, paging: Paging) -> Page[Invitation]:
        """Those that the caller may see, the newest first."""
        rows, total = await store.page(self.postgres, scope.parameters, paging)
        items = [Invitation(**row) for row in rows]
        return Page(items=items, page=paging.page, page_size=paging.page_size, total=total)

    async def revoke(self, scope: Scope, invitation_id: UUID) -> Invitation:
        """Take one back: its code is not good any more."""
        async with self.postgres.transaction() as connection:
            row = await store.revoke(connection, scope.parameters, invitation_id)
            if row is None:
                raise NotFound("There is no such invitation.")
            told = {"school_id": row["school_id"], "target": f"invitation={invitation_id}"}
            await record(connection, scope.principal, "invitation.revoked", **told)
        log.info("invitation_revoked", invitation_id=str(invitation_id))
        return Invitation(**row)


def _check(scope: Scope, wish: NewInvitation) -> None:
    if not scope.whole_school and (wish.role != "student" or wish.classroom_id is None):
        raise Forbidden("A teacher invites students into a classroom of his.", needs=["admin"])
    if wish.role == "admin" and wish.email is None:
        raise InvalidField("An admin is invited by his address, not by a code for many.", field="email")
    if wish.role == "admin" and wish.classroom_id is not None:
        raise InvalidField("An admin belongs to no classroom.", field="classroom_id")
    if wish.email is not None and wish.max_uses not in (None, 1):
        raise InvalidField("An invitation of one address is used once.", field="max_uses")
