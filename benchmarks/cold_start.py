"""From a new process to its first answer, and the memory it then holds; bound: the same stores without the product."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.table import show

_BARE = """
import sys, time
from pathlib import Path
from core.postgres_server import PostgresServer
import clickhouse_connect, psycopg
folder = Path(sys.argv[1])
server = PostgresServer(folder / "postgres")
psycopg.connect(server.start()).execute("select 1")
clickhouse_connect.get_client(interface="chdb", path=str(folder / "clickhouse")).query("select 1")
server.stop()
"""


def _bare(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _BARE, str(folder)], check=True)
    return time.perf_counter() - began


def _product(folder: Path) -> tuple[float, float]:
    environment = {**os.environ, "EDU_DATA_DIR": str(folder), "EDU_PORT": "0", "EDU_LOG_LEVEL": "error"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "api.cli", "serve"], env=environment, stdout=subprocess.DEVNULL)
    try:
        url = _address(folder, process)
        with urllib.request.urlopen(f"{url}/health/ready", timeout=60) as answer:
            answer.read()
        seconds = time.perf_counter() - began
        status = Path(f"/proc/{process.pid}/status").read_text()
        return seconds, int(status.split("VmRSS:")[1].split()[0]) / 1024
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        try:
            holder = json.loads((folder / "holder.json").read_text())
            if "url" in holder:
                return str(holder["url"])
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    raise SystemExit("the server ended before it answered")


def main() -> None:
    """Print the table: a new folder and a used one."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as bare:
        for what in ("new folder", "used folder"):
            floor = _bare(Path(bare))
            seconds, memory = _product(Path(ours))
            rows.append((what, seconds, floor, seconds / floor, memory))
    show("Cold start to the first answer", ["data folder", "seconds", "bare stores s", "ratio", "RSS MB"], rows)


if __name__ == "__main__":
    main()
