"""Access tokens: JWTs signed with Ed25519, good for minutes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from api.auth.key_ring import KeyRing, SigningKey
from api.principal import Principal
from core.clock import now
from core.errors import Unauthenticated
from core.ids import new_id

ISSUER = "eduanalytics"
AUDIENCE = "eduanalytics-api"
TYPE = "at+jwt"
_KEPT = 10_000
"""A signature is checked once; so many tokens are remembered until they expire."""
_REQUIRED = ["iss", "aud", "sub", "role", "exp", "iat", "jti"]
_HEADER = {"alg", "typ", "kid"}
"""A header with anything else (jku, jwk, x5u, crit …) is none of ours."""
_LAST = 2**40
_SKEW = timedelta(minutes=1)
"""So far may the clock of the server that issued a token be ahead of ours."""


class Tokens:
    """Issues and verifies access tokens."""

    def __init__(self, secret: bytes, lifetime: timedelta) -> None:
        self.keys = KeyRing(secret)
        self.lifetime = lifetime
        self._verified: OrderedDict[str, tuple[datetime, Principal]] = OrderedDict()

    def take_keys(self, shared: Iterable[SigningKey]) -> None:
        """Sign and verify with these from now on (beside the installation's own)."""
        if self.keys.replace(shared):
            self._verified.clear()

    def issue(self, principal: Principal, lifetime: timedelta | None = None) -> str:
        """A signed token for this caller; of a chosen lifetime it is signed by the key that is never rotated."""
        moment = now()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": principal.subject or str(principal.user_id),
            "uid": principal.user_id,
            "role": principal.role,
            "school": principal.school_id,
            "sid": _text(principal.session_id),
            "tid": _text(principal.token_id),
            "scope": None if principal.scopes is None else " ".join(sorted(principal.scopes)),
            "ctx": dict(principal.attributes),
            "iat": moment,
            "exp": moment + (lifetime or self.lifetime),
            "jti": str(new_id()),
        }
        chosen = {key: value for key, value in claims.items() if value not in (None, {})}
        key = self.keys.current if lifetime is None else self.keys.installation
        return jwt.encode(chosen, key.private, algorithm="EdDSA", headers={"typ": TYPE, "kid": key.kid})

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
            header = jwt.get_unverified_header(token)
            public = self.keys.public(header.get("kid"))
            if public is None or header.get("typ") != TYPE or header.keys() - _HEADER:
                raise _invalid()
            claims = jwt.decode(
                token,
                public,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED, "strict_aud": True, "verify_iat": False, "verify_nbf": False},
            )
            return _principal(claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", code="token_expired") from None
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, OverflowError):
            raise _invalid() from None


def _principal(claims: Mapping[str, Any]) -> Principal:
    moments = {name: _moment(claims[name]) for name in ("iat", "nbf", "exp") if name in claims}
    if max(moments["iat"], moments.get("nbf", moments["iat"])) > now() + _SKEW:
        raise _invalid()
    return Principal(
        role=str(claims["role"]),
        user_id=claims.get("uid"),
        school_id=claims.get("school"),
        session_id=_uuid(claims.get("sid")),
        subject=str(claims["sub"]),
        issued_at=moments["iat"],
        expires_at=moments["exp"],
        token_id=_uuid(claims.get("tid")),
        scopes=frozenset(_string(claims["scope"]).split()) if "scope" in claims else None,
        attributes=dict(claims.get("ctx") or {}),
    )


def _invalid() -> Unauthenticated:
    return Unauthenticated("Invalid token", code="invalid_token")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _moment(value: object) -> datetime:
    if not isinstance(value, int) or not 0 <= value < _LAST:
        raise TypeError
    return datetime.fromtimestamp(value, UTC)


def _uuid(value: object) -> UUID | None:
    return None if value is None else UUID(_string(value))


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
