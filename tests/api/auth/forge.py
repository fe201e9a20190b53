"""Makes tokens that are not ours, byte for byte, without a library that would refuse to."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.auth.key_ring import KeyRing, SigningKey

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("forgeries.yml").read_text())
FOREIGN = KeyRing(b"the secret of another installation").installation
STRANGER = SigningKey(Ed25519PrivateKey.generate())


def forge(good: KeyRing, case: dict[str, Any]) -> str:
    """The token of one case."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": good.current.kid} | case.get("header", {})
    named = {"$foreign": FOREIGN.kid, "$stranger": STRANGER.jwk}
    header = {key: named.get(value, value) if isinstance(value, str) else value for key, value in header.items()}
    moment = int(time.time())
    claims: dict[str, Any] = {
        "iss": "eduanalytics",
        "aud": "eduanalytics-api",
        "sub": "x",
        "role": "operator",
        "iat": moment,
        "exp": moment + 300,
        "jti": "1",
    }
    for name, value in case.get("claims", {}).items():
        relative = name in {"iat", "nbf", "exp"} and isinstance(value, int) and abs(value) < 10**6
        claims[name] = moment + value if relative else value
    body = b".".join(_part({k: v for k, v in part.items() if v is not None}) for part in (header, claims))
    return (body + b"." + _encode(_signature(good.current, case.get("sign", "own"), body))).decode()


def _signature(good: SigningKey, how: str, body: bytes) -> bytes:
    raw = good.public.public_bytes_raw()
    match how:
        case "none":
            return b""
        case "hmac-raw":
            return hmac.digest(raw, body, "sha256")
        case "hmac-pem":
            pem = good.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return hmac.digest(pem, body, "sha256")
        case "hmac-jwk":
            return hmac.digest(json.dumps(good.jwk).encode(), body, "sha256")
        case "foreign":
            return FOREIGN.private.sign(body)
        case "stranger":
            return STRANGER.private.sign(body)
        case _:
            return good.private.sign(body)


def _part(value: dict[str, Any]) -> bytes:
    return _encode(json.dumps(value).encode())


def _encode(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
