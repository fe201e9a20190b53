"""Access tokens: JWTs signed with Ed25519, good for minutes; the key is derived from the installation's secret."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from api.principal import Principal
from core.clock import now
from core.errors import Unauthenticated
from core.ids import new_id

ISSUER = "eduanalytics"
AUDIENCE = "eduanalytics-api"
_TYPE = "at+jwt"
_KEPT = 10_000
"""A signature is checked once; so many tokens are remembered until they expire."""
_REQUIRED = ["iss", "aud", "sub", "role", "exp", "iat", "jti"]


class Tokens:
    """Issues and verifies access tokens."""

    def __init__(self, secret: bytes, lifetime: timedelta) -> None:
        seed = HKDF(SHA256(), 32, salt=None, info=b"eduanalytics access token, Ed25519").derive(secret)
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()
        self._kid = hashlib.sha256(self._public.public_bytes_raw()).hexdigest()[:16]
        self.lifetime = lifetime
        self._verified: OrderedDict[str, tuple[datetime, Principal]] = OrderedDict()

    def issue(self, principal: Principal, lifetime: timedelta | None = None) -> str:
        """A signed token for this caller."""
        moment = now()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": principal.subject or str(principal.user_id),
            "uid": principal.user_id,
            "role": principal.role,
            "school": principal.school_id,
            "sid": str(principal.session_id) if principal.session_id else None,
            "ctx": dict(principal.attributes),
            "iat": moment,
            "exp": moment + (lifetime or self.lifetime),
            "jti": str(new_id()),
        }
        chosen = {key: value for key, value in claims.items() if value not in (None, {})}
        return jwt.encode(chosen, self._private, algorithm="EdDSA", headers={"typ": _TYPE, "kid": self._kid})

    def verify(self, token: str) -> Principal:
        """The caller whom the token names; raises `Unauthenticated` for any fault of the token."""
        known = self._verified.get(token)
        if known is not None and now() < known[0]:
            return known[1]
        principal = self._checked(token)
        if principal.expires_at is not None:
            self._verified[token] = principal.expires_at, principal
            if len(self._verified) > _KEPT:
                self._verified.popitem(last=False)
        return principal

    def _checked(self, token: str) -> Principal:
        try:
            decoded = jwt.decode_complete(
                token,
                self._public,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            if decoded["header"].get("typ") != _TYPE:
                raise Unauthenticated("Invalid token", code="invalid_token")
            return _principal(decoded["payload"])
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", code="token_expired") from None
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError):
            raise Unauthenticated("Invalid token", code="invalid_token") from None


def _principal(claims: Mapping[str, Any]) -> Principal:
    return Principal(
        role=str(claims["role"]),
        user_id=claims.get("uid"),
        school_id=claims.get("school"),
        session_id=UUID(claims["sid"]) if "sid" in claims else None,
        subject=str(claims["sub"]),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        attributes=dict(claims.get("ctx") or {}),
    )
