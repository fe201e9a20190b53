"""The command line: a client of the API, and what starts and fills a server.

main (commands) → client (a running server over HTTP, else the application in this process) → output (tables, CSV, JSON)
What a command needs beyond its own options it imports when it runs, so that `--help` is there at once.
"""

from __future__ import annotations

from api.cli.main import app, main

__all__ = ["app", "main"]
