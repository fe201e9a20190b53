"""Commands in processes of their own, forked from one that has read the product: to read it takes longer than most."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO

_SECONDS = 120
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["api.app", "alembic.command", "sqlalchemy.dialects.postgresql.psycopg"])


def run(words: Sequence[str], environment: Mapping[str, str], folder: Path, text: str | None) -> CompletedProcess[str]:
    """Run `eduanalytics` with these words; how it ended and what it said."""
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("in", "out", "err")]
        files[0].write_text(text or "")
        process = _context.Process(target=_run, args=(list(words), dict(environment), folder, files))
        process.start()
        process.join(_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode if process.exitcode is not None else -1
        process.close()
        said = [path.read_text() if path.exists() else "" for path in files[1:]]
    return CompletedProcess(list(words), code, *said)


def _run(words: list[str], environment: dict[str, str], folder: Path, files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin, sys.stdout, sys.stderr = (_opened(path, number) for number, path in enumerate(files))
    sys.argv = ["eduanalytics", *words]
    from api.cli import main  # here, for it looks at the environment

    main()


def _opened(path: Path, number: int) -> IO[str]:
    file = path.open("w" if number else "r")
    os.dup2(file.fileno(), number)
    return file
