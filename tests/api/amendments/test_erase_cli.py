"""`eduanalytics erase` and `holds`, each command a process of its own over the embedded stores."""

from __future__ import annotations

import json
from pathlib import Path

from tests.api.test_cli import Shell


def test_look_hold_release_erase(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    shell.run("users", "create", "Head Teacher", "--school", "Hilltop", "--email", "head@example.org")
    looked = json.loads(shell.run("erase", "1", "--dry-run", "-f", "json"))
    assert {"store": "Postgres", "place": "account", "rows": 1} in looked
    shell.run("holds", "set", "a court asked", code=2)
    held = json.loads(shell.run("holds", "set", "a court asked", "--person", "1", "-f", "json"))[0]
    assert held["user_id"] == 1
    shell.run("erase", "1", "--yes", code=1)
    shell.run("holds", "release", str(held["id"]))
    done = shell.run("erase", "1", "--yes")
    assert "No question finds the person any more." in done
    shell.run("erase", "1", "--certificate", code=1)
    shell.run("erase", "1", "--yes", code=1)
    assert json.loads(shell.run("status", "-f", "json"))["amendments"] == {"erasure settling": 1}
