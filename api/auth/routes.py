"""POST /auth/register, /auth/login."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from starlette.requests import HTTPConnection

from api.auth.cookies import check_origin, into_cookie
from api.auth.schemas import LoggedIn, Login, Registration, User
from api.auth.service import Accounts
from api.deps import ServicesDep
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
async def login(
    connection: HTTPConnection,
    response: Response,
    wish: Login,
    accounts: AccountsDep,
    cookie: Annotated[bool, Query(description="Browsers: the refresh token as a cookie that no script reads.")] = False,
) -> Envelope[LoggedIn]:
    """Log in: an access token for the Authorization header, and a refresh token."""
    if cookie:
        check_origin(connection, accounts.settings.cors_origins)
    async with guessing(connection, "login", wish.email):
        found = await accounts.login(wish.email, wish.password, connection.headers.get("user-agent"))
    if cookie:
        found = into_cookie(response, found)
    return ok(found, "Logged in.")
