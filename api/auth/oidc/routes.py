"""/auth/oidc: the providers, the way to one, the way back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import RedirectResponse

from api.auth.oidc.flow import COOKIE, SECONDS
from api.auth.oidc.provider import refused
from api.auth.oidc.service import SchoolLogins
from api.auth.schemas import LoggedIn
from api.deps import ServicesDep
from api.envelope import Envelope, ok

router = APIRouter(prefix="/auth/oidc", tags=["auth"])
_MOST = 4000
Text = Annotated[str, Query(max_length=_MOST)]


class Provider(BaseModel):
    """A school's identity provider."""

    name: str
    title: str
    start: str


def school_logins(services: ServicesDep) -> SchoolLogins:
    """The log-ins over the record."""
    return services.ingestion.school_logins


LoginsDep = Annotated[SchoolLogins, Depends(school_logins)]


@router.get("/providers")
async def list_providers(logins: LoginsDep) -> Envelope[list[Provider]]:
    """The identity providers with which one can log in here."""
    found = [issuer.chosen for issuer in logins.issuers.values()]
    return ok([Provider(name=p.name, title=p.title, start=f"/auth/oidc/{p.name}/start") for p in found])


@router.get("/{name}/start", status_code=303, response_class=RedirectResponse)
async def start_login(name: str, logins: LoginsDep) -> Response:
    """Go to the school's log-in page."""
    address, cookie = await logins.start(name)
    answer = RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(COOKIE, cookie, max_age=SECONDS, secure=True, httponly=True, samesite="lax", path="/")
    return answer


@router.get("/{name}/callback")
async def finish_login(
    request: Request,
    response: Response,
    name: str,
    logins: LoginsDep,
    state: Text = "",
    code: Text = "",
    iss: Annotated[str | None, Query(max_length=_MOST)] = None,
    error: Text = "",
) -> Envelope[LoggedIn]:
    """The way back from the school's log-in page: tokens, as by POST /auth/login. It works once."""
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    response.headers["Cache-Control"] = "no-store"
    if error:
        raise refused(f"the issuer says {error[:100]!r}", name[:40])
    return ok(await logins.finish(name, request.cookies.get(COOKIE, ""), state, code, iss), "Logged in.")
