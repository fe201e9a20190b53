"""What one log-in must remember until the browser comes back: sealed in a cookie, so that any server can go on.

`__Host-`: only this host sets it, over TLS alone, and no script reads it. SameSite=Lax: the way back is a link from
another site.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time
from dataclasses import asdict, dataclass

import orjson

from api.auth.key_ring import Sealer

COOKIE = "__Host-oidc"
SECONDS = 600
FLOW_PURPOSE = "eduanalytics oidc flow, AES-GCM"
_OWN_PAGE = re.compile(r"/[!-\[\]-~]{0,500}")


@dataclass(frozen=True)
class Flow:
    """One log-in under way."""

    provider: str
    state: str
    nonce: str
    verifier: str
    ends: int
    next: str = "/"

    @classmethod
    def begin(cls, provider: str, next_page: str = "/") -> Flow:
        """A new one, by chance; `next_page`: the page of ours (`own_page`) to which a browser goes at the end."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(provider, state, nonce, verifier, int(time.time()) + SECONDS, next_page)

    def cookie(self, sealer: Sealer) -> str:
        """What the browser keeps."""
        return base64.urlsafe_b64encode(sealer.seal(orjson.dumps(asdict(self)), COOKIE)).decode()

    @classmethod
    def of_cookie(cls, sealer: Sealer, text: str) -> Flow | None:
        """The flow of a cookie that we made less than ten minutes ago."""
        try:
            raw = sealer.open(base64.urlsafe_b64decode(text.encode()), COOKIE)
        except (binascii.Error, ValueError):
            return None
        flow = cls(**orjson.loads(raw)) if raw else None
        return flow if flow and flow.ends > time.time() else None


def own_page(text: str) -> str:
    """A path of our own site; raises `ValueError` for what a browser may take for another.

    (It reads `/\\x` and a slash, a tab and another slash as `//x`.)"""
    if not _OWN_PAGE.fullmatch(text) or "//" in text:
        raise ValueError("Name a page of this site: a path that begins with one slash.")
    return text
