"""/auth/oidc: the providers, the way to one, the way back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel
from starlette.responses import RedirectResponse

from api.auth.cookies import into_cookie
from api.auth.oidc.flow import COOKIE, SECONDS, own_page
from api.auth.oidc.provider import refused
from api.auth.oidc.service import Back, SchoolLogins
from api.auth.schemas import LoggedIn
from api.deps import ServicesDep
from api.envelope import Envelope, ok

router = APIRouter(prefix="/auth/oidc", tags=["auth"])
_MOST = 4000
_TO_PAGE: dict[int | str, dict[str, Any]] = {303: {"description": "To the page; the refresh token is a cookie."}}
Text = Annotated[str, Query(max_length=_MOST)]
NextPage = Annotated[
    str,
    Query(alias="next", description="The page of this site to which a browser goes at the end."),
    AfterValidator(own_page),
]


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
async def start_login(name: str, logins: LoginsDep, next_page: NextPage = "/") -> Response:
    """Go to the school's log-in page."""
    address, cookie = await logins.start(name, next_page)
    answer = RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(COOKIE, cookie, max_age=SECONDS, secure=True, httponly=True, samesite="lax", path="/")
    return answer


@router.get("/{name}/callback", response_model=Envelope[LoggedIn], responses=_TO_PAGE)
async def finish_login(
    request: Request,
    response: Response,
    name: str,
    logins: LoginsDep,
    state: Text = "",
    code: Text = "",
    iss: Annotated[str | None, Query(max_length=_MOST)] = None,
    error: Text = "",
) -> Envelope[LoggedIn] | Response:
    """The way back from the school's log-in page. It works once.

    A browser gets the refresh token as a cookie and goes on to its page (303); with `Accept: application/json` the
    tokens are in the body, as by POST /auth/login."""
    if error:
        raise refused(f"the issuer says {error[:100]!r}", name[:40])
    cookie, client = request.cookies.get(COOKIE, ""), request.headers.get("user-agent")
    found, page = await logins.finish(name, cookie, Back(state, code, iss), client)
    if "application/json" in request.headers.get("accept", ""):
        _end_flow(response)
        return ok(found, "Logged in.")
    answer = RedirectResponse(page, 303)
    into_cookie(answer, found)
    _end_flow(answer)
    return answer


def _end_flow(response: Response) -> None:
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    response.headers["Cache-Control"] = "no-store"
