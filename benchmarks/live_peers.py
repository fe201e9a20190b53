"""Bare broadcast servers beside which ours is measured: rooms, fan-out and an echo for answers, nothing else.

No log-in, no grading, nothing kept: what a server costs that does only what it must. `python -m benchmarks.live_peers
POSTGRES_URL` commits one row in Postgres before each broadcast, and is as bare otherwise: what the disk costs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from core.postgres import Postgres

_COMMIT = "insert into bare_broadcasts default values"
_TABLE = "create table if not exists bare_broadcasts (id bigserial primary key)"
_NODE = r"""
const { WebSocketServer } = require("ws");
const rooms = new Map();
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false }, () =>
  console.log(`ws://127.0.0.1:${server.address().port}/ws/quiz`));
server.on("connection", (socket) => {
  let room = null;
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    if (frame.token) {
      room = rooms.get(frame.session_id) ?? rooms.set(frame.session_id, new Set()).get(frame.session_id);
      room.add(socket);
      socket.send('{"event":"joined"}');
    } else if (frame.event === "answer_submitted") {
      socket.send(JSON.stringify({ event: "answer_ack", status: "accepted" }));
    } else for (const other of room) other.send(JSON.stringify(frame));
  });
  socket.on("close", () => room?.delete(socket));
});
"""


async def run_bare(postgres: Postgres | None = None) -> Any:
    """A bare `websockets` server; with a record it commits a row before each broadcast."""
    rooms: defaultdict[int, set[ServerConnection]] = defaultdict(set)

    async def attend(socket: ServerConnection) -> None:
        room: set[ServerConnection] = set()
        with suppress(ConnectionClosed):
            async for text in socket:
                frame = json.loads(text)
                if "token" in frame:
                    room = rooms[frame["session_id"]]
                    room.add(socket)
                    await socket.send('{"event":"joined"}')
                elif frame["event"] == "answer_submitted":
                    await socket.send(json.dumps({"event": "answer_ack", "status": "accepted"}))
                else:
                    if postgres is not None:
                        await postgres.fetch(_COMMIT)
                    broadcast(room, json.dumps(frame))
        room.discard(socket)

    return await serve(attend, "127.0.0.1", 0, compression=None)


def node_server() -> tuple[subprocess.Popen[str], Path] | None:
    """`ws` on node, where both can be had; its process, and the folder to remove afterwards."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="edu-bench-ws-"))
    (folder / "server.cjs").write_text(_NODE)
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix", ".", "ws@8"]
    if subprocess.run(install, cwd=folder, check=False, timeout=120).returncode:
        shutil.rmtree(folder)
        return None
    process = subprocess.Popen(["node", "server.cjs"], cwd=folder, stdout=subprocess.PIPE, text=True)
    return process, folder


async def main() -> None:
    """Serve until killed; the address is printed."""
    postgres = Postgres(sys.argv[1], 10) if len(sys.argv) > 1 else None
    if postgres is not None:
        await postgres.open()
        await postgres.fetch(_TABLE)
    server = await run_bare(postgres)
    port = server.sockets[0].getsockname()[1]
    print(f"ws://127.0.0.1:{port}/ws/quiz", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
