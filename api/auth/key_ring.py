"""The keys that this server knows: which signs now, and the fixed map from `kid` to a public key."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12
KEYS_PURPOSE = "eduanalytics signing keys, AES-GCM"


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """A key for one purpose from the installation's secret (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), length, salt=None, info=purpose.encode()).derive(secret)


class Sealer:
    """AES-GCM with a key for one purpose; a name is part of what is sealed, so that two cannot be exchanged."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._cipher = AESGCM(derive(secret, purpose))

    def seal(self, raw: bytes, name: str) -> bytes:
        """What may be kept where others read or write."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, raw, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes | None:
        """What was sealed; None when it was sealed with another secret or name, or tampered with."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (InvalidTag, ValueError):
            return None


@dataclass(frozen=True)
class SigningKey:
    """One Ed25519 pair; its `kid` is the beginning of the public key's SHA-256."""

    private: Ed25519PrivateKey
    state: str = "current"

    @cached_property
    def public(self) -> Ed25519PublicKey:
        """What verifies."""
        return self.private.public_key()

    @cached_property
    def kid(self) -> str:
        """Its name in the header of a token."""
        return hashlib.sha256(self.public.public_bytes_raw()).hexdigest()[:16]

    def sealed(self, sealer: Sealer) -> bytes:
        """What the record keeps of it."""
        return sealer.seal(self.private.private_bytes_raw(), self.kid)

    @classmethod
    def opened(cls, sealer: Sealer, kid: str, sealed: bytes, state: str) -> SigningKey | None:
        """The key of a row; None when our secret did not seal it under this name."""
        raw = sealer.open(sealed, kid)
        return None if raw is None else cls(Ed25519PrivateKey.from_private_bytes(raw), state)

    @property
    def jwk(self) -> dict[str, str]:
        """The public part as RFC 8037 writes it."""
        x = base64.urlsafe_b64encode(self.public.public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "use": "sig", "alg": "EdDSA"}


class KeyRing:
    """The installation's own key, derived from its secret, and those that the servers share and rotate."""

    def __init__(self, secret: bytes) -> None:
        seed = derive(secret, "eduanalytics access token, Ed25519")
        self.installation = SigningKey(Ed25519PrivateKey.from_private_bytes(seed))
        self.current = self.installation
        self._keys = {self.installation.kid: self.installation}

    def replace(self, shared: Iterable[SigningKey]) -> bool:
        """Take the shared keys as they are now; whether one that was known is gone."""
        keys = {key.kid: key for key in (self.installation, *shared)}
        gone = self._keys.keys() - keys.keys()
        shared_current = (key for key in keys.values() if key.state == "current" and key is not self.installation)
        self.current = next(shared_current, self.installation)
        self._keys = keys
        return bool(gone)

    def public(self, kid: object) -> Ed25519PublicKey | None:
        """The key of a name; None for a name that we did not give, of whatever type."""
        key = self._keys.get(kid) if isinstance(kid, str) else None
        return key.public if key else None

    def published(self) -> list[dict[str, str]]:
        """The JSON Web Key Set, RFC 7517."""
        return [key.jwk for key in self._keys.values()]
