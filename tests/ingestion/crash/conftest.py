"""Processes that hold ClickHouse and can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Zygote:
    """See zygote.py; `template` is a folder with ClickHouse's tables."""

    def __init__(self, process: subprocess.Popen[str], template: Path) -> None:
        self._process = process
        self.template = template

    def ask(self, **case: str | None) -> int:
        """Run a case; how its process ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Makes processes that hold ClickHouse."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.ingestion.crash.zygote"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    made = Zygote(process, tmp_path_factory.mktemp("template"))
    assert made.ask(folder=str(made.template), url=None) == 0
    yield made
    process.communicate(timeout=60)
