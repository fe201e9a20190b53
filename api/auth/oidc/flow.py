"""What one log-in must remember until the browser comes back: sealed in a cookie, so that any server can go on.

`__Host-`: only this host sets it, over TLS alone, and no script reads it. SameSite=Lax: the way back is a link from
another site.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from dataclasses import asdict, dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

COOKIE = "__Host-oidc"
SECONDS = 600
_NONCE = 12


@dataclass(frozen=True)
class Flow:
    """One log-in under way."""

    provider: str
    state: str
    nonce: str
    verifier: str
    ends: int

    @classmethod
    def begin(cls, provider: str) -> Flow:
        """A new one, all of it by chance."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(provider, state, nonce, verifier, int(time.time()) + SECONDS)


class Sealer:
    """Seals a flow with a key made from the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = AESGCM(HKDF(SHA256(), 32, salt=None, info=b"eduanalytics oidc flow, AES-GCM").derive(secret))

    def seal(self, flow: Flow) -> str:
        """The cookie's value."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._key.encrypt(nonce, orjson.dumps(asdict(flow)), COOKIE.encode())
        return base64.urlsafe_b64encode(sealed).decode()

    def open(self, text: str) -> Flow | None:
        """The flow of a cookie that we made less than ten minutes ago."""
        try:
            sealed = base64.urlsafe_b64decode(text.encode())
            flow = Flow(**orjson.loads(self._key.decrypt(sealed[:_NONCE], sealed[_NONCE:], COOKIE.encode())))
        except (InvalidTag, binascii.Error, ValueError, TypeError):
            return None
        return flow if flow.ends > time.time() else None
