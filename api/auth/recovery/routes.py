"""/auth/password, /auth/verify, and one-time passwords by an admin."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection

from api.auth.recovery.schemas import OneTimePassword, PasswordChange, PasswordReset, Proof, ToAddress
from api.auth.recovery.service import Recovery
from api.deps import Caller, ServicesDep, require
from api.envelope import Envelope, ok
from api.fields import Id
from api.limits.throttle import guessing
from api.scope import ScopeDep

router = APIRouter(prefix="/auth", tags=["auth"])
admin_router = APIRouter(tags=["accounts"], dependencies=[Depends(require("admin"))])
_SENT = "If the address has an account, a mail is on its way."


def recovery(services: ServicesDep) -> Recovery:
    """The rules over the record."""
    fed = services.ingestion
    accounts = fed.accounts
    revocations = accounts.sessions.revocations
    return Recovery(services.settings, services.postgres, accounts.passwords, revocations, fed.postman)


RecoveryDep = Annotated[Recovery, Depends(recovery)]


@router.post("/password", dependencies=[Depends(require())])
async def change_password(
    connection: HTTPConnection, wish: PasswordChange, caller: Caller, recovery: RecoveryDep
) -> Envelope[None]:
    """Change your password; all your other log-ins end."""
    async with guessing(connection, "password", f"user {caller.user_id}"):
        await recovery.change(caller, wish.current_password, wish.new_password)
    return ok(None, "Password changed.")


@router.post("/password/forgot", status_code=202)
async def forgot_password(wish: ToAddress, recovery: RecoveryDep) -> Envelope[None]:
    """Ask for a mail with a link to set a new password; the answer is the same for every address."""
    await recovery.wish("reset_password", wish.email, wish.language)
    return ok(None, _SENT)


@router.post("/password/reset")
async def reset_password(connection: HTTPConnection, wish: PasswordReset, recovery: RecoveryDep) -> Envelope[None]:
    """Set a new password with the token of the mail (30 minutes, once); every log-in and service token ends."""
    async with guessing(connection, "reset"):
        await recovery.reset(wish.token, wish.password)
    return ok(None, "Password set. Log in.")


@router.post("/verify")
async def verify_address(connection: HTTPConnection, wish: Proof, recovery: RecoveryDep) -> Envelope[None]:
    """Prove your address with the token of the mail."""
    async with guessing(connection, "verify"):
        await recovery.verify(wish.token)
    return ok(None, "Address confirmed.")


@router.post("/verify/resend", status_code=202)
async def resend_proof(wish: ToAddress, recovery: RecoveryDep) -> Envelope[None]:
    """Ask for that mail again; the answer is the same for every address."""
    await recovery.wish("verify_email", wish.email, wish.language)
    return ok(None, _SENT)


@admin_router.post("/users/{user_id}/one-time-password")
async def hand_out_password(user_id: Id, recovery: RecoveryDep, scope: ScopeDep) -> Envelope[OneTimePassword]:
    """A one-time password for somebody of your school, to hand over on paper; all that he holds ends."""
    return ok(await recovery.hand_out(scope, user_id), "One-time password made.")
