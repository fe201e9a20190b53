"""Codes that people type: no 0/O and no 1/I to take for one another; and the hashes that are kept of secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from uuid import UUID

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
JOIN_LENGTH = 8
"""40 bits: enough because guesses are counted and the code ends."""
MAILED_LENGTH = 26
_SMALL = "23456789abcdefghjkmnpqrstuvwxyz"
_BETWEEN = re.compile(r"[\s-]+")


def new_code(length: int) -> str:
    """A code of chance."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def read_code(text: str) -> str:
    """A code as it was made: in capitals, without the spaces and hyphens that people put in."""
    return _BETWEEN.sub("", unicodedata.normalize("NFKC", text)).upper()


def one_time_password() -> str:
    """Twelve characters in three groups (59 bits), for a printed list."""
    letters = [secrets.choice(_SMALL) for _ in range(12)]
    return "-".join("".join(letters[at : at + 4]) for at in (0, 4, 8))


def new_username(name: str) -> str:
    """The first word of a name in plain letters, and six characters of chance: `ada-k7m2xw`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z]+", plain)
    return f"{(words or ['user'])[0][:12]}-{''.join(secrets.choice(_SMALL) for _ in range(6))}"


def code_hash(secret: bytes, code: str) -> bytes:
    """What is kept of a join code; keyed, for a short code could be found from a plain hash."""
    return hmac.digest(secret, b"invitation:" + read_code(code).encode(), "sha256")


def letter_token(secret: bytes, letter_id: UUID) -> str:
    """The token of a letter: 256 bits that only we can make, and make again when it is sent again."""
    digest = hmac.digest(secret, b"letter:" + letter_id.bytes, "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def letter_code(secret: bytes, letter_id: UUID) -> str:
    """The code of an invitation's letter (130 bits), likewise."""
    digest = hmac.digest(secret, b"letter code:" + letter_id.bytes, "sha256")
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:MAILED_LENGTH])


def token_hash(token: str) -> bytes:
    """What is kept of a long random token."""
    return hashlib.sha256(token.encode()).digest()
