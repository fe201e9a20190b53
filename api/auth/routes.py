"""POST /auth/register, /auth/login, /auth/refresh, /auth/logout."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection

from api.auth.schemas import LoggedIn, Login, Refresh, Registration, TokenPair, User
from api.auth.service import Accounts
from api.deps import Caller, ServicesDep, read_token
from api.envelope import Envelope, ok
from api.limits.throttle import guessing

router = APIRouter(prefix="/auth", tags=["auth"])


def accounts(services: ServicesDep) -> Accounts:
    """The accounts of the record."""
    return services.ingestion.accounts


AccountsDep = Annotated[Accounts, Depends(accounts)]


@router.post("/register", status_code=201)
async def register(connection: HTTPConnection, wish: Registration, accounts: AccountsDep) -> Envelope[User]:
    """Make an account: a student or a teacher of a school that is here, or the first admin of a new school.

    A teacher sees nothing until an admin gives him a classroom."""
    async with guessing(connection, "register"):
        return ok(await accounts.register(wish), "Account created.")


@router.post("/login")
async def login(connection: HTTPConnection, wish: Login, accounts: AccountsDep) -> Envelope[LoggedIn]:
    """Log in: an access token for the Authorization header, and a refresh token."""
    async with guessing(connection, "login", wish.email):
        return ok(await accounts.login(wish.email, wish.password), "Logged in.")


@router.post("/refresh")
async def refresh(
    connection: HTTPConnection, accounts: AccountsDep, wish: Refresh | None = None
) -> Envelope[TokenPair]:
    """The next pair of tokens for a refresh token, in the body or as the Authorization header.

    A refresh token works once; using it twice ends the log-in."""
    token = wish.refresh_token if wish else read_token(connection)
    async with guessing(connection, "refresh"):
        return ok(await accounts.refresh(token), "Tokens renewed.")


@router.post("/logout")
async def logout(caller: Caller, accounts: AccountsDep) -> Envelope[None]:
    """End this log-in: both its tokens become useless everywhere within a second."""
    await accounts.logout(caller)
    return ok(None, "Logged out.")
