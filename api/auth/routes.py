"""POST /auth/register, /auth/login, /auth/refresh, /auth/logout."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection

from api.auth.registration import Registrations
from api.auth.schemas import LoggedIn, Login, Refresh, Registration, TokenPair, User
from api.auth.service import Accounts
from api.deps import Caller, ServicesDep, read_token
from api.envelope import Envelope, ok

router = APIRouter(prefix="/auth", tags=["auth"])


def accounts(services: ServicesDep) -> Accounts:
    """The accounts of the record."""
    return services.ingestion.accounts


AccountsDep = Annotated[Accounts, Depends(accounts)]


def registrations(services: ServicesDep) -> Registrations:
    """The rules of registration over the record."""
    fed = services.ingestion
    accounts = fed.accounts
    return Registrations(accounts.settings, accounts.postgres, accounts.passwords, fed.postman, accounts.secret)


@router.post("/register", status_code=201)
async def register(
    wish: Registration, registrations: Annotated[Registrations, Depends(registrations)]
) -> Envelope[User]:
    """Make an account with the code of an invitation (`POST /api/v1/invitations`), which says where and as what.

    Where registration is open also without a code: a student or a teacher of a school that is here, or the first admin
    of a new school. A teacher sees nothing until an admin gives him a classroom."""
    return ok(await registrations.register(wish), "Account created.")


@router.post("/login")
async def login(wish: Login, accounts: AccountsDep) -> Envelope[LoggedIn]:
    """Log in: an access token for the Authorization header, and a refresh token.

    A one-time password is answered with `password_change_required` until `new_password` comes with it."""
    return ok(await accounts.login(wish.email, wish.password, wish.new_password), "Logged in.")


@router.post("/refresh")
async def refresh(
    connection: HTTPConnection, accounts: AccountsDep, wish: Refresh | None = None
) -> Envelope[TokenPair]:
    """The next pair of tokens for a refresh token, in the body or as the Authorization header.

    A refresh token works once; using it twice ends the log-in."""
    token = wish.refresh_token if wish else read_token(connection)
    return ok(await accounts.refresh(token), "Tokens renewed.")


@router.post("/logout")
async def logout(caller: Caller, accounts: AccountsDep) -> Envelope[None]:
    """End this log-in: both its tokens become useless everywhere within a second."""
    await accounts.logout(caller)
    return ok(None, "Logged out.")
