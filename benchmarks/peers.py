"""Compile time beside other semantic layers: one star, one question, the newest of each from PyPI, in one run.

Each peer has an environment of its own in the user's cache folder, made when it is absent (`--fresh`: made anew). The
rounds go round all of them, so that a busy machine is busy for all. Ours is asked a shape that it has not seen with
each call; the peers keep the shape and see a new literal.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from platformdirs import user_cache_path

from benchmarks.table import percentile, show

_ROOT = Path(__file__).resolve().parent.parent
_CALLS, _ROUNDS, _LITERAL = 100, 3, 1000
_WEEK = 7 * 24 * 3600
_INSTALL = ("--quiet", "--upgrade", "--compile-bytecode")
_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@dataclass(frozen=True)
class Peer:
    """A package of PyPI, what is installed with it, its adapter, and the least Python that it runs on."""

    name: str
    adapter: str
    extras: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 11)


PEERS = (
    Peer("orionbelt-semantic-layer", "orionbelt", ("sqlglot[c]",), (3, 12)),
    Peer("sidemantic", "sidemantic", ("sqlglot[c]",)),
    Peer("metricflow", "metricflow"),
    Peer("boring-semantic-layer", "boring"),
)


class Absent(Exception):
    """A peer that cannot be measured here, and why."""


@dataclass
class Line:
    """What all rounds of one line found, in milliseconds."""

    name: str
    warm: list[float] = field(default_factory=list)
    once: dict[str, list[float]] = field(default_factory=lambda: {"first": [], "import": [], "load": []})

    def row(self, ours: float) -> tuple[object, ...]:
        """The line of the table."""
        middle = median(self.warm)
        once = [median(values) for values in self.once.values()]
        return (self.name, middle, percentile(self.warm, 0.95), middle / ours, *once)


def interpreter(peer: Peer, *, fresh: bool) -> Path:
    """The Python of the peer's environment, made if need be; Absent with the installer's last words.

    After a week it is brought to the newest version; without a network it stays as it is.
    """
    folder = user_cache_path("eduanalytics") / "peers" / peer.name
    python, made = folder / "bin" / "python", folder / "made"
    if fresh or not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", _base(peer.python), str(folder))
    elif time.time() - made.stat().st_mtime < _WEEK:
        return python
    try:
        _uv("pip", "install", *_INSTALL, "--python", str(python), peer.name, *peer.extras)
    except Absent:
        if not made.exists():
            raise
    made.touch()
    return python


def _uv(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Absent(_last(done.stderr))


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def _base(least: tuple[int, int]) -> str:
    """A Python that is new enough: this one, one of pyenv's, else whatever uv finds."""
    if sys.version_info[:2] >= least:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    wanted = f"{least[0]}.{least[1]}"
    found = sorted(root.glob(f"versions/{wanted}.*/bin/python"))
    return str(found[-1]) if found else wanted


def _asked(python: Path | str, adapter: str, seconds: int) -> dict[str, Any]:
    """One process: imports, loads, asks; Absent if it fails."""
    command = [str(python), "-m", f"benchmarks.adapters.{adapter}", str(_CALLS), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=_ROOT)
    if done.returncode:
        raise Absent(_last(done.stderr))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _version(python: Path, package: str) -> str:
    done = subprocess.run([str(python), "-c", _VERSION, package], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _rounds(pythons: dict[str, tuple[str, Path | str]], absent: dict[str, str]) -> list[Line]:
    """Every line after `_ROUNDS` rounds; a peer that fails moves to `absent`."""
    lines: dict[tuple[str, str], Line] = {}
    for number in range(_ROUNDS):
        for title, (adapter, python) in pythons.items():
            try:
                found = _asked(python, adapter, _LITERAL * (number + 1))
            except Absent as reason:
                absent[title] = str(reason)
                continue
            for what, warm in found["warm"].items():
                line = lines.setdefault((title, what), Line(f"{title}: {what}"))
                line.warm += warm
                for key, values in line.once.items():
                    values.append(found[key])
    return list(lines.values())


def main() -> None:
    """Print the table."""
    fresh = "--fresh" in sys.argv[1:]
    pythons: dict[str, tuple[str, Path | str]] = {"eduanalytics": ("ours", sys.executable)}
    absent: dict[str, str] = {}
    for peer in PEERS:
        try:
            python = interpreter(peer, fresh=fresh)
            pythons[f"{peer.name} {_version(python, peer.name)}"] = (peer.adapter, python)
        except Absent as reason:
            absent[peer.name] = str(reason)
    lines = _rounds(pythons, absent)
    ours = median(lines[0].warm)
    rows = [line.row(ours) for line in lines] + [(f"{name}: not had: {reason}",) for name, reason in absent.items()]
    columns = ["what", "p50", "p95", "to ours", "first", "import", "load"]
    show(f"Compile time beside others, ms ({_ROUNDS} × {_CALLS} calls, in turn)", columns, rows)


if __name__ == "__main__":
    main()
