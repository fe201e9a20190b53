"""An import that is killed at any moment is finished by the next one, as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion.importers import import_folder
from tests.shared import shared

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys
from pathlib import Path
from ingestion.importers import import_folder
import_folder(sys.argv[1], Path(sys.argv[2]), progress=lambda done, total, table: print(table, done, flush=True))
"""


def _killed(url: str, folder: Path, table: str, done: int) -> None:
    """Start an import, kill -9 it as soon as it tells of `done` rows of a table."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, url, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    with process, process.stdout as told:
        for line in told:
            name, rows = line.split()
            if name == table and int(rows) >= done:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(30) == -signal.SIGKILL


def _facts(url: str) -> list[Any]:
    """The answers by the source's ids, which are the same in every database."""
    with psycopg.connect(url) as connection:
        connection.execute("analyze import_ids, responses")  # else it may be planned for a handful of rows
        return connection.execute(
            "select u.source_id, q.source_id, s.source_id, r.attempt_number, r.choice, r.correct, r.score,"
            " r.time_spent_ms, r.submitted_at from responses r"
            " join import_ids u on u.entity = 'users' and u.id = r.student_id"
            " join import_ids q on q.entity = 'questions' and q.id = r.question_id"
            " join import_ids s on s.entity = 'sessions' and s.id = r.session_id order by 1, 2, 3, 4"
        ).fetchall()


@pytest.mark.parametrize(("table", "done"), [("users", 1), ("sessions", 1), ("responses", 40_000)])
def test_killed_and_run_again_gives_every_row_once(table: str, done: int, postgres_url: str) -> None:
    folder = shared("data", "timss11")
    _killed(postgres_url, folder, table, done)
    assert len(_facts(postgres_url)) < 115_983
    report = import_folder(postgres_url, folder)
    numbers = report.tables["responses"]
    assert (report.rejected, numbers.read) == (0, 115_983)
    assert numbers.unchanged >= (done if table == "responses" else 0)
    facts = _facts(postgres_url)
    assert len(facts) == len(set(facts)) == 115_983


def test_killed_at_random_moments_until_it_is_done(postgres_url: str) -> None:
    folder = shared("data", "timss11")
    for wait in (0.4, 0.9, 1.4, 1.9):
        with subprocess.Popen(
            [sys.executable, "-c", RUN, postgres_url, str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            time.sleep(wait)
            process.kill()
    assert import_folder(postgres_url, folder).rejected == 0
    facts = _facts(postgres_url)
    assert len(facts) == len(set(facts)) == 115_983
