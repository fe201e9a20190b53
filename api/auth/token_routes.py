"""/auth/service-tokens for people, /auth/keys for operators, /.well-known/jwks.json for everybody."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.auth.keys import Keys, KeyStatus
from api.auth.schemas import IssuedServiceToken, NewServiceToken, ServiceToken
from api.auth.service_tokens import ServiceTokens
from api.deps import Caller, ServicesDep, require
from api.envelope import Envelope, ok

router = APIRouter(prefix="/auth", tags=["auth"])
jwks_router = APIRouter(tags=["auth"])
_MAKERS = [Depends(require("teacher", "admin", "analyst"))]
_OPERATOR = [Depends(require("operator"))]


def service_tokens(services: ServicesDep) -> ServiceTokens:
    """The service tokens of the record."""
    return services.ingestion.service_tokens


def keys(services: ServicesDep) -> Keys:
    """The signing keys of the record."""
    return services.ingestion.keys


ServiceTokensDep = Annotated[ServiceTokens, Depends(service_tokens)]
KeysDep = Annotated[Keys, Depends(keys)]


@router.post("/service-tokens", status_code=201, dependencies=_MAKERS)
async def create_service_token(
    wish: NewServiceToken, caller: Caller, tokens: ServiceTokensDep
) -> Envelope[IssuedServiceToken]:
    """Make a token for a script or an app. It sees what you see, in the classes of routes that `scopes` names.

    It is shown this once, and dies with your account, your role, or its last day."""
    return ok(await tokens.issue(caller, wish), "Service token made. It is shown this once.")


@router.get("/service-tokens", dependencies=_MAKERS)
async def list_service_tokens(caller: Caller, tokens: ServiceTokensDep) -> Envelope[list[ServiceToken]]:
    """Your service tokens that are still good."""
    return ok(await tokens.list(caller))


@router.delete("/service-tokens/{token_id}", dependencies=_MAKERS)
async def delete_service_token(token_id: UUID, caller: Caller, tokens: ServiceTokensDep) -> Envelope[None]:
    """End one of your service tokens: useless everywhere within seconds."""
    await tokens.end(caller, token_id)
    return ok(None, "The service token has ended.")


@router.get("/keys", dependencies=_OPERATOR)
async def list_keys(keys: KeysDep) -> Envelope[list[KeyStatus]]:
    """The signing keys (operators)."""
    return ok(await keys.statuses())


@router.post("/keys/rotate", dependencies=_OPERATOR)
async def rotate_keys(keys: KeysDep) -> Envelope[list[KeyStatus]]:
    """Sign with the next key from now on (operators); tokens of the old one are good until they expire."""
    return ok(await keys.rotate(), "Keys rotated.")


@jwks_router.get("/.well-known/jwks.json")
async def published_keys(services: ServicesDep, response: Response) -> dict[str, list[dict[str, Any]]]:
    """The public keys by which anybody can verify our access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return {"keys": services.tokens.keys.published()}
