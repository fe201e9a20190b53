"""A socket between a client and Postgres that a test can cut, or that loses the answer to what is asked next."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote


class Proxy:
    """Listens in a folder of its own; `url` leads through it."""

    def __init__(self, url: str) -> None:
        host, port = re.findall(r"host=([^&]+)&port=(\d+)", url)[0]
        self._folder = Path(tempfile.mkdtemp(prefix="edu-proxy-"))
        self._target = str(Path(unquote(host)) / f".s.PGSQL.{port}")
        self.url = url.replace(f"host={host}", f"host={self._folder}")
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._losing = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / f".s.PGSQL.{port}"))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def cut(self) -> None:
        """Every connection ends; what is asked next does not arrive."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(pair)

    def lose_answer(self) -> None:
        """What is asked next is done; the connection ends instead of an answer."""
        self._losing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                client.close()
                server.close()
                continue
            pair = (client, server)
            self._pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(source, sink, pair), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if source is pair[1] and self._losing.is_set():
                    self._losing.clear()
                    break
                sink.sendall(data)
        _end(pair)


def _end(pair: tuple[socket.socket, socket.socket]) -> None:
    for each in pair:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
