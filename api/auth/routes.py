"""POST /auth/register, /auth/login."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from starlette.requests import HTTPConnection

from api.auth.cookies import check_origin, into_cookie
from api.auth.registration import Registrations
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


def registrations(services: ServicesDep) -> Registrations:
    """The rules of registration over the record."""
    fed = services.ingestion
    accounts = fed.accounts
    return Registrations(
        accounts.settings, accounts.postgres, accounts.passwords, fed.postman, accounts.sessions.secret
    )


@router.post("/register", status_code=201)
async def register(
    connection: HTTPConnection, wish: Registration, registrations: Annotated[Registrations, Depends(registrations)]
) -> Envelope[User]:
    """Make an account with the code of an invitation (`POST /api/v1/invitations`), which says where and as what.

    Where registration is open also without a code: a student or a teacher of a school that is here, or the first admin
    of a new school. A teacher sees nothing until an admin gives him a classroom."""
    async with guessing(connection, "register"):
        return ok(await registrations.register(wish), "Account created.")


@router.post("/login")
async def login(
    connection: HTTPConnection,
    response: Response,
    wish: Login,
    accounts: AccountsDep,
    cookie: Annotated[bool, Query(description="Browsers: the refresh token as a cookie that no script reads.")] = False,
) -> Envelope[LoggedIn]:
    """Log in: an access token for the Authorization header, and a refresh token.

    A one-time password is answered with `password_change_required` until `new_password` comes with it."""
    if cookie:
        check_origin(connection, accounts.settings.cors_origins)
    client = connection.headers.get("user-agent")
    async with guessing(connection, "login", wish.email):
        found = await accounts.login(wish.email, wish.password, wish.new_password, client)
    if cookie:
        found = into_cookie(response, found)
    return ok(found, "Logged in.")
