"""ClickHouse's HTTP interface over chDB, so that several processes can share one real engine on this machine.

The engine is ClickHouse's own; only the socket is ours. It carries what clickhouse-connect sends: SQL in the body or
in `query`, `param_*`, settings as URL parameters, Native inserts. Run: `python clickhouse_http.py FOLDER PORT`.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import chdb

_INSERT = re.compile(rb"\s*INSERT INTO (?P<target>[^\n]+?) FORMAT Native\n", re.DOTALL)
_TRANSPORT = {
    "query", "database", "default_format", "session_id", "query_id", "client_protocol_version", "compress",
    "enable_http_compression", "user", "password", "wait_end_of_query", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "session_timeout", "role", "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One request, one handle of the engine."""

    protocol_version = "HTTP/1.1"
    folder = ""

    def do_GET(self) -> None:
        """/ping, or a query in the URL."""
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self._run(b"")

    def do_POST(self) -> None:
        """A query in the body."""
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        self._run(self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _run(self, body: bytes) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        text = given.get("query", "").encode() + (b"\n" if "query" in given and body else b"") + body
        connection = chdb.connect(self.folder)
        try:
            if given.get("database"):
                connection.query(f"USE `{given['database']}`")
            for name, value in given.items():
                if name not in _TRANSPORT and not name.startswith("param_"):
                    connection.query(f"SET {name} = '{value}'")
            parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
            self._answer(200, _execute(connection, text, given.get("default_format", "TabSeparated"), parameters), text)
        except Exception as error:
            found = re.search(r"Code: (\d+)", str(error))
            headers = {"X-ClickHouse-Exception-Code": found.group(1) if found else "0"}
            self._answer(500, str(error).encode(), headers=headers)
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, query: bytes = b"", headers: dict[str, str] | None = None) -> None:
        form = re.search(rb"FORMAT (\w+)\s*$", query)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Summary", json.dumps({"read_rows": "0"}))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if body and status == 200:
            self.send_header("X-ClickHouse-Format", form.group(1).decode() if form else "TabSeparated")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _execute(connection: object, text: bytes, form: str, parameters: dict[str, str]) -> bytes:
    insert = _INSERT.match(text)
    if insert is None:
        result = connection.query(text.decode(), form, params=parameters)  # type: ignore[attr-defined]
        return result.bytes() or b""
    with tempfile.NamedTemporaryFile(suffix=".native") as file:
        file.write(text[insert.end() :])
        file.flush()
        target = insert["target"].decode()
        connection.query(f"INSERT INTO {target} FROM INFILE '{file.name}' FORMAT Native")  # type: ignore[attr-defined]
    return b""


def main() -> None:
    """Serve a folder until killed."""
    Handler.folder = str(Path(sys.argv[1]).resolve())
    keep = chdb.connect(Handler.folder)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
    keep.close()


if __name__ == "__main__":
    main()
