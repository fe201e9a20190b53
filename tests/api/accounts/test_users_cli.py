"""`eduanalytics users`: a school with its first admin, and a list."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from tests.api.test_cli import Shell


def test_a_school_is_founded_and_filled_from_the_command_line(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    table = tmp_path / "pupils.csv"
    table.write_text("name,external_id\nAda Example,S-1\nBob Example,S-2\n")
    shell.run("users", "create", "Head", code=2)
    made = shell.run("users", "create", "Head Teacher", "--school", "Hilltop", "--email", "head@example.org")
    assert re.search(r"\b1\b.*head@example\.org.*\w{4}-\w{4}-\w{4}", made)
    brought = list(
        csv.DictReader(io.StringIO(shell.run("users", "import", str(table), "--school-id", "1", "-f", "csv")))
    )
    assert [row["status"] for row in brought] == ["created", "created"]
    assert all(re.fullmatch(r"\w{4}-\w{4}-\w{4}", row["one_time_password"]) for row in brought)
    table.write_text("name,external_id,email\nAda Example,S-1,\nEve,S-3,no address\n")
    again = shell.run("users", "import", str(table), "--school-id", "1", code=1)
    assert "0 made, 1 there already, 1 refused" in again
