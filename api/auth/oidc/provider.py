"""An issuer: its configuration and keys, the address of its log-in page, and what it says of who came back.

Everything is checked against the settings, not against what the issuer's answers claim: the configuration's issuer, the
token's issuer, audience, nonce and signature (algorithms with public keys only).
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from api.auth.oidc.flow import Flow
from core.errors import Unauthenticated, Unavailable
from core.settings import OidcProvider
from core.telemetry import log

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nonce"]
_FRESH_SECONDS = 3600.0
_RETRY_SECONDS = 10.0
_LEEWAY = 60
_SECONDS = 10.0


def refused(reason: str, provider: str) -> Unauthenticated:
    """The log-in did not go well; the reason is for the log alone."""
    log.warning("oidc_refused", provider=provider, reason=reason)
    return Unauthenticated("The log-in with the school's account failed. Start it again.", code="oidc_refused")


@dataclass
class _Kept:
    value: dict[str, Any]
    at: float


class Issuer:
    """One provider of the settings."""

    def __init__(self, chosen: OidcProvider, redirect_uri: str) -> None:
        self.chosen = chosen
        self._redirect_uri = redirect_uri
        self._kept: dict[str, _Kept] = {}

    async def address(self, flow: Flow) -> str:
        """Where the browser goes to log in."""
        found = await self._configuration()
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                found["authorization_endpoint"], state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
            )
        return str(url)

    async def claims(self, flow: Flow, code: str, issuer: str | None) -> dict[str, Any]:
        """The claims of who came back with `code`; raises `Unauthenticated`. `issuer`: RFC 9207, against mix-ups."""
        found = await self._configuration()
        wanted = found.get("authorization_response_iss_parameter_supported") or issuer is not None
        if wanted and issuer != self.chosen.issuer:
            raise self._refused("another issuer answered")
        try:
            async with self._client() as client:
                token = await client.fetch_token(found["token_endpoint"], code=code, code_verifier=flow.verifier)
        except OAuthError as error:
            raise self._refused(f"the issuer says {error.error}") from None
        except (httpx2.HTTPError, ValueError) as error:
            raise self._away(error) from error
        return await self._checked(token.get("id_token"), flow)

    def _client(self) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=self.chosen.client_id,
            client_secret=self.chosen.client_secret.get_secret_value(),
            scope=self.chosen.scopes,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            timeout=_SECONDS,
        )

    async def _checked(self, token: Any, flow: Flow) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self.chosen.client_id,
                issuer=self.chosen.issuer,
                leeway=_LEEWAY,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise self._refused(f"ID token: {type(error).__name__}") from None
        if not hmac.compare_digest(str(claims["nonce"]).encode(), flow.nonce.encode()):
            raise self._refused("another nonce")
        others = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims.get("azp", self.chosen.client_id) != self.chosen.client_id or (
            "azp" not in claims and len(others) > 1
        ):
            raise self._refused("the ID token was made for another client")
        return claims

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        """The issuer's key; unknown ones are looked for again, at most every ten seconds."""
        address = (await self._configuration())["jwks_uri"]
        for age in (_FRESH_SECONDS, _RETRY_SECONDS):
            keys = jwt.PyJWKSet.from_dict(await self._get(address, age)).keys
            usable = [key for key in keys if key.public_key_use in (None, "sig") and key.key_type != "oct"]
            chosen = [key for key in usable if key.key_id == kid] if kid else usable
            if len(chosen) == 1:
                return chosen[0]
        raise self._refused("an unknown key")

    async def _configuration(self) -> dict[str, Any]:
        found = await self._get(f"{self.chosen.issuer.rstrip('/')}/.well-known/openid-configuration", _FRESH_SECONDS)
        if found.get("issuer") != self.chosen.issuer:
            raise self._refused("the configuration names another issuer")
        missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys()
        if missing:
            raise self._refused(f"the configuration lacks {', '.join(sorted(missing))}")
        return found

    async def _get(self, address: str, age: float) -> dict[str, Any]:
        known = self._kept.get(address)
        if known and time.monotonic() - known.at < age:
            return known.value
        try:
            async with httpx2.AsyncClient(timeout=_SECONDS) as client:
                response = await client.get(address)
                response.raise_for_status()
                value = dict(response.json())
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            if known:
                return known.value
            raise self._away(error) from error
        self._kept[address] = _Kept(value, time.monotonic())
        return value

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"{self.chosen.title} does not answer. Try again.", cause=type(error).__name__)

    def _refused(self, reason: str) -> Unauthenticated:
        return refused(reason, self.chosen.name)
