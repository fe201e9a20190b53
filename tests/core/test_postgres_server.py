"""A server killed the hard way starts again at once; a number given away after a crash does not stop it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg

from core.postgres_server import PostgresServer


def test_it_starts_again_right_after_a_kill(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table kept (x int)")
    pid = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    server.start()
    (tmp_path / "note").write_text("still here")
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    server.stop()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_a_pid_file_of_another_program_is_no_hindrance(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    server.stop()
    (tmp_path / "postgres" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{tmp_path}\n0\n5432\n{tmp_path}\n\n0 0\nready\n"
    )
    server.start()
    server.stop()
