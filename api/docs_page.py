"""/docs: every address with examples, under a content policy of its own (the page loads Swagger UI from its CDN)."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_CDN = "https://cdn.jsdelivr.net"


def add_docs(app: FastAPI) -> None:
    """Serve the page at /docs."""
    app.add_route("/docs", _docs, include_in_schema=False)


async def _docs(request: Request) -> HTMLResponse:
    root = str(request.scope.get("root_path", "")).rstrip("/")
    page = get_swagger_ui_html(openapi_url=f"{root}/openapi.json", title="EduAnalytics", swagger_favicon_url="data:,")
    return HTMLResponse(page.body, headers={"Content-Security-Policy": policy(bytes(page.body))})


def policy(page: bytes) -> str:
    """Only this page's own script, by its hash, and the CDN's files may run."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _SCRIPT.findall(page))
    return (
        f"default-src 'none'; script-src {_CDN} {hashes}; style-src {_CDN} 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _digest(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()
