"""POST /auth/refresh, /auth/logout, /auth/logout-all; GET and DELETE /auth/sessions; DELETE /users/{id}/sessions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from starlette.requests import HTTPConnection

from api.auth.cookies import REFRESH, check_origin, forget_refresh, into_cookie
from api.auth.schemas import Ended, Refresh, Session, TokenPair
from api.auth.sessions import Sessions
from api.deps import Caller, ServicesDep, read_token, require
from api.directory import store as directory
from api.envelope import Envelope, ok
from api.fields import Id
from api.scope import ScopeDep
from core.errors import NotFound

router = APIRouter(prefix="/auth", tags=["auth"])
users_router = APIRouter(prefix="/users", tags=["auth"])
_ANYBODY = [Depends(require())]


def get_sessions(services: ServicesDep) -> Sessions:
    """The log-ins of the record."""
    return services.ingestion.accounts.sessions


SessionsDep = Annotated[Sessions, Depends(get_sessions)]


@router.post("/refresh")
async def refresh(
    connection: HTTPConnection, response: Response, sessions: SessionsDep, wish: Refresh | None = None
) -> Envelope[TokenPair]:
    """The next pair of tokens for a refresh token: in the body, as the Authorization header, or as the cookie.

    A refresh token works once; using it again later than a few seconds ends the log-in."""
    cookie = connection.cookies.get(REFRESH)
    if wish is not None or cookie is None or "authorization" in connection.headers:
        pair = await sessions.refresh(wish.refresh_token if wish else read_token(connection))
        return ok(pair, "Tokens renewed.")
    check_origin(connection, sessions.settings.cors_origins)
    pair = into_cookie(response, await sessions.refresh(cookie))
    return ok(pair, "Tokens renewed.")


@router.post("/logout", dependencies=_ANYBODY)
async def logout(
    connection: HTTPConnection, response: Response, caller: Caller, sessions: SessionsDep
) -> Envelope[None]:
    """End this log-in: both its tokens become useless everywhere within seconds."""
    await sessions.logout(caller)
    if REFRESH in connection.cookies:
        forget_refresh(response)
    return ok(None, "Logged out.")


@router.post("/logout-all", dependencies=_ANYBODY)
async def logout_all(response: Response, caller: Caller, sessions: SessionsDep) -> Envelope[Ended]:
    """End all your log-ins, this one too; service tokens go on (`DELETE /auth/service-tokens/{id}`)."""
    ended = await sessions.logout_all(caller)
    forget_refresh(response)
    return ok(Ended(ended=ended), "Logged out everywhere.")


@router.get("/sessions", dependencies=_ANYBODY)
async def list_sessions(caller: Caller, sessions: SessionsDep) -> Envelope[list[Session]]:
    """Your log-ins: when, from where, and which of them asks."""
    return ok(await sessions.list(caller))


@router.delete("/sessions/{session_id}", dependencies=_ANYBODY)
async def end_session(session_id: UUID, caller: Caller, sessions: SessionsDep) -> Envelope[None]:
    """End one of your log-ins."""
    await sessions.end(caller, session_id)
    return ok(None, "The log-in has ended.")


@users_router.delete("/{user_id}/sessions", dependencies=[Depends(require("admin"))])
async def end_sessions_of(
    user_id: Id, scope: ScopeDep, services: ServicesDep, sessions: SessionsDep
) -> Envelope[Ended]:
    """End all that a user of your school holds: his log-ins and his service tokens (admins)."""
    if await directory.one(services.postgres, "users", scope.parameters, user_id) is None:
        raise NotFound("There is no such user.")
    ended = await sessions.end_all_of(user_id, "ended by an admin")
    return ok(Ended(ended=ended), "The user's log-ins have ended.")
