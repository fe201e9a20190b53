"""Issuers for the tests: the certified provider of npm, and a rogue one that says whatever it is told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def certified(folder: Path, port: int, clients: list[dict[str, Any]], accounts: dict[str, Any]) -> Iterator[str]:
    """The URL of `oidc-provider`, running."""
    process = subprocess.Popen(
        ["node", "oidc.mjs"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"port": port, "clients": clients, "accounts": accounts}) + "\n")
        process.stdin.flush()
        assert any(line.strip() == "ready" for line in process.stdout)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # `node` may be a script that runs node
        process.wait(10)


class Rogue:
    """An issuer that lies: its configuration, its keys and its ID token are the test's."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id_token: Any = None
        self.configuration: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Honest again."""
        self.configuration = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/login",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    @property
    def keys(self) -> dict[str, Any]:
        """Its JWKS."""
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": "one", "use": "sig", "alg": "ES256"}]}

    def answer(self, path: str) -> Any:
        """The JSON of a path."""
        token = {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token}
        return {"/.well-known/openid-configuration": self.configuration, "/keys": self.keys, "/token": token}.get(path)


@contextmanager
def running(rogue: Rogue) -> Iterator[Rogue]:
    """The rogue, answering over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.dumps(rogue.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _say  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", int(rogue.url.rpartition(":")[2])), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield rogue
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
