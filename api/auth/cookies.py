"""The refresh token as a cookie, for browsers: no script can read it, and no other site can use it.

A cookie goes along by itself, so a request whose token comes from it must come from our own pages.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.auth.schemas import TokenPair
from core.errors import Forbidden

REFRESH = "__Host-refresh"
PairT = TypeVar("PairT", bound=TokenPair)


def into_cookie(response: Response, pair: PairT) -> PairT:
    """Take the refresh token out of the body and send it as the cookie."""
    response.set_cookie(
        REFRESH,
        pair.refresh_token or "",
        max_age=pair.refresh_expires_in,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return pair.model_copy(update={"refresh_token": None})


def forget_refresh(response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(REFRESH, path="/", secure=True, httponly=True, samesite="strict")


def check_origin(connection: HTTPConnection, allowed: Collection[str]) -> None:
    """Raises `Forbidden` unless the browser says that our own page (or one of `allowed`) sent the request."""
    headers = connection.headers
    origin = headers.get("origin")
    if origin is None:
        good = headers.get("sec-fetch-site") == "same-origin"
    else:
        good = origin in allowed or urlsplit(origin).netloc == headers.get("host", "")
    if not good:
        raise Forbidden("A request with the refresh cookie must come from our own pages.", code="cross_site")
